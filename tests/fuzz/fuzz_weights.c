/* Files of weights, whichever format: safetensors, torch.save()'s archives and its older
 * stream. What they hold is read, and matched with the tensors of a tiny network. */
#include "../../host/net/weights_match.h"
#include "fuzz.h"

static const struct clfcn_net_tensor wanted[] = {
    { .name = "pretrained_net.features.0.bias", .ndim = 1, .dims = { 4 } },
    { .name = "classifier.weight", .ndim = 4, .dims = { 2, 3, 1, 1 } },
    { .name = "bn1.num_batches_tracked", .dtype = CLFCN_I64 },
};
enum { WANTED = sizeof(wanted) / sizeof(wanted[0]) };

static void match(const struct clfcn_weights_file *f)
{
    struct clfcn_weights_match m;
    struct clfcn_err err;
    int rc = clfcn_weights_match(f, wanted, WANTED, &m, &err);
    fuzz_check_message(rc, &err);
    for (int partial = 0; rc == CLFCN_OK && partial < 2; ++partial) {
        const int fits =
            clfcn_weights_match_check(&m, "input", "a net", "no way", partial, &err);
        fuzz_check_message(fits, &err);
    }
    for (int i = 0; rc == CLFCN_OK && i < WANTED; ++i) {
        float numbers[8];
        if (m.found[i] && wanted[i].dtype == CLFCN_F32) {
            fuzz_check_message(clfcn_weights_floats(f, m.found[i], numbers, &err), &err);
        }
    }
    clfcn_weights_match_free(&m);
}

void fuzz_one(const uint8_t *data, size_t size)
{
    struct clfcn_weights_file f;
    struct clfcn_err err;
    const int rc = clfcn_weights_open_memory(data, size, &f, &err);
    fuzz_check_message(rc, &err);
    if (rc == CLFCN_OK) {
        fuzz_read_tensors(&f);
        match(&f);
    }
    clfcn_weights_close(&f);
}
