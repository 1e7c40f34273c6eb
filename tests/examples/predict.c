/* predict.c - which pixels of a picture belong to which class: PPM in, PPM out.
 *     cc -std=c11 predict.c -o predict $(pkg-config --cflags --libs clfcn)
 *     ./predict runs/first/checkpoints/best.safetensors photo.ppm masked.ppm */
#include <clfcn/clfcn.h>
#include <stdio.h>
#include <stdlib.h>

static struct clfcn_err err;

static void ok(int status)
{
    if (status < 0) {
        fprintf(stderr, "predict: %s\n", err.msg);
        exit(1);
    }
}

static void refuse(const char *path)
{
    fprintf(stderr, "predict: %s: no 8-bit binary PPM that can be read or written\n", path);
    exit(1);
}

static uint8_t *read_ppm(const char *path, int *width, int *height)
{
    FILE *f = fopen(path, "rb");
    if (!f || fscanf(f, "P6 %5d %5d 255", width, height) != 2 || fgetc(f) == EOF) {
        refuse(path);
    }
    const size_t pixels = (size_t)*width * (size_t)*height;
    uint8_t *rgb = malloc(3 * pixels);
    if (!rgb || fread(rgb, 3, pixels, f) != pixels) {
        refuse(path);
    }
    fclose(f);
    return rgb;
}

int main(int argc, char **argv)
{
    struct clfcn_dev *dev;
    struct clfcn_predictor *predictor;
    struct clfcn_predict_job job = { 0 };
    if (argc != 4) {
        fprintf(stderr, "usage: predict CHECKPOINT IN.ppm OUT.ppm\n");
        return 2;
    }
    uint8_t *rgb = read_ppm(argv[2], &job.width, &job.height);
    const size_t pixels = (size_t)job.width * (size_t)job.height;
    job.rgb = rgb;
    job.labels = malloc(pixels);
    ok(clfcn_dev_open("auto", &dev, &err));
    ok(clfcn_predictor_create(dev, argv[1], NULL, &predictor, &err));
    ok(clfcn_predictor_run(predictor, &job, &err));
    for (size_t i = 0; i < pixels; ++i) {
        const uint8_t *color = clfcn_predictor_class_color(predictor, job.labels[i]);
        for (int c = 0; c < 3; ++c) {
            rgb[3 * i + c] = (uint8_t)((rgb[3 * i + c] + color[c]) / 2);
        }
    }
    FILE *f = fopen(argv[3], "wb");
    if (!f || fprintf(f, "P6 %d %d 255\n", job.width, job.height) < 0 ||
        fwrite(rgb, 3, pixels, f) != pixels || fclose(f) != 0) {
        refuse(argv[3]);
    }
    clfcn_predictor_destroy(&predictor);
    clfcn_dev_close(&dev);
    free(job.labels);
    free(rgb);
}
