/* make.c - what the data tests build their inputs with. */
#include "make.h"
#include "../../host/util/file.h"
#include <dirent.h>
#include <png.h>
#include <sys/stat.h>
#include <unistd.h>

static void take_bytes(png_structp png, png_bytep from, size_t n)
{
    struct bytes *to = png_get_io_ptr(png);
    to->data = realloc(to->data, to->size + n);
    assert_non_null(to->data);
    memcpy(to->data + to->size, from, n);
    to->size += n;
}

static void flush_nothing(png_structp png) { (void)png; }

static int channels_of(int color_type)
{
    switch (color_type) {
    case PNG_COLOR_TYPE_GRAY_ALPHA:
        return 2;
    case PNG_COLOR_TYPE_RGB:
        return 3;
    case PNG_COLOR_TYPE_RGB_ALPHA:
        return 4;
    default:
        return 1;
    }
}

/* Pack one row, most significant bit first. */
static void pack_row(uint8_t *row, const uint16_t *samples, int count, int depth)
{
    memset(row, 0, ((size_t)count * (size_t)depth + 7) / 8);
    for (int i = 0; i < count; ++i) {
        if (depth == 16) {
            row[2 * i] = (uint8_t)(samples[i] >> 8);
            row[2 * i + 1] = (uint8_t)samples[i];
        } else {
            const int bit = i * depth;
            row[bit / 8] |= (uint8_t)(samples[i] << (8 - depth - bit % 8));
        }
    }
}

static void set_palette(png_structp png, png_infop info, const struct png_spec *spec)
{
    png_color palette[256];
    png_byte alpha[256];
    const int count = 1 << spec->depth;
    for (int i = 0; i < count; ++i) { /* as test_png.c expects it */
        palette[i] =
            (png_color){ (png_byte)(7 * i + 1), (png_byte)(255 - i), (png_byte)(3 * i) };
        alpha[i] = (png_byte)(i * 11);
    }
    png_set_PLTE(png, info, palette, count);
    if (spec->trns) {
        png_set_tRNS(png, info, alpha, count, NULL);
    }
}

struct bytes make_png(const struct png_spec *spec)
{
    struct bytes out = { NULL, 0 };
    const int row_samples = spec->width * channels_of(spec->color_type);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_set_write_fn(png, &out, take_bytes, flush_nothing);
    png_set_IHDR(png, info, (png_uint_32)spec->width, (png_uint_32)spec->height,
                 spec->depth, spec->color_type,
                 spec->interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_BASE, PNG_FILTER_TYPE_BASE);
    if (spec->color_type == PNG_COLOR_TYPE_PALETTE) {
        set_palette(png, info, spec);
    } else if (spec->trns) {
        png_color_16 key = { 0 };
        png_set_tRNS(png, info, NULL, 0, &key);
    }
    png_write_info(png, info);
    const int passes = png_set_interlace_handling(png);
    uint8_t *row = malloc(2 * (size_t)row_samples);
    assert_non_null(row);
    for (int pass = 0; pass < passes; ++pass) {
        for (int y = 0; y < spec->height; ++y) {
            pack_row(row, spec->samples + (size_t)y * (size_t)row_samples, row_samples,
                     spec->depth);
            png_write_row(png, row);
        }
    }
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    free(row);
    return out;
}

static void write_png(const char *path, const struct png_spec *spec)
{
    struct clfcn_err err;
    struct bytes png = make_png(spec);
    assert_int_equal(clfcn_file_write(path, png.data, png.size, &err), CLFCN_OK);
    free(png.data);
}

void make_gray_file(const char *path, int width, int height, const uint8_t *values)
{
    const size_t n = (size_t)width * (size_t)height;
    uint16_t *samples = malloc(n * sizeof *samples);
    assert_non_null(samples);
    for (size_t i = 0; i < n; ++i) {
        samples[i] = values[i];
    }
    const struct png_spec spec = { .width = width,
                                   .height = height,
                                   .depth = 8,
                                   .color_type = PNG_COLOR_TYPE_GRAY,
                                   .samples = samples };
    write_png(path, &spec);
    free(samples);
}

void make_rgb_file(const char *path, int width, int height, uint8_t r, uint8_t g,
                   uint8_t b)
{
    const size_t n = (size_t)width * (size_t)height;
    uint16_t *samples = malloc(3 * n * sizeof *samples);
    assert_non_null(samples);
    for (size_t i = 0; i < n; ++i) {
        samples[3 * i] = r;
        samples[3 * i + 1] = g;
        samples[3 * i + 2] = b;
    }
    const struct png_spec spec = { .width = width, .height = height, .depth = 8,
                                   .color_type = PNG_COLOR_TYPE_RGB, .samples = samples };
    write_png(path, &spec);
    free(samples);
}

void make_text_file(const char *path, const char *text)
{
    struct clfcn_err err;
    assert_int_equal(clfcn_file_write(path, text, strlen(text), &err), CLFCN_OK);
}

char *make_dir(void)
{
    const char *base = getenv("TMPDIR");
    char *dir = malloc(4096);
    assert_non_null(dir);
    snprintf(dir, 4096, "%s/clfcn-test-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(dir));
    return dir;
}

static void remove_tree(const char *dir)
{
    char path[4096];
    struct stat st;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        snprintf(path, sizeof path, "%.2000s/%.2000s", dir, e->d_name);
        if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
            remove_tree(path);
        } else {
            unlink(path);
        }
    }
    if (d) {
        closedir(d);
    }
    rmdir(dir);
}

void remove_dir(char *dir)
{
    remove_tree(dir);
    free(dir);
}

const char *in(const char *dir, const char *name)
{
    static char paths[8][4096];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

void assert_contains(const char *text, const char *part)
{
    if (!strstr(text, part)) {
        fail_msg("\"%s\" does not contain \"%s\"", text, part);
    }
}
