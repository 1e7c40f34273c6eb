/* manual_text.c - what manual pages say beyond the tables of commands and options. */
#include "manual.h"
#include <string.h>

#define CKPT "runs/first/checkpoints/best.safetensors"

const struct cli_manual_pair cli_manual_statuses[] = {
    { "0", "Done." },
    { "1", "Failed while running." },
    { "2", "Wrong usage." },
    { "3", "No usable OpenCL device." },
    { "4", "Bad input: data, weights or a checkpoint." },
    { "130", "Interrupted, with the state saved." },
    { 0 },
};

const struct cli_manual_pair cli_manual_files[] = {
    { "~/.cache/clfcn/",
      "Compiled kernels, tuning, and what self-tests found. Deleting it is safe." },
    { 0 },
};

const struct cli_manual_pair cli_manual_variables[] = {
    { "CLFCN_CACHE_DIR", "The folder of cache files." },
    { "XDG_CACHE_HOME", "Without CLFCN_CACHE_DIR, cache files lie in its folder clfcn." },
    { "CLFCN_COMM_TIMEOUT",
      "After how many seconds without an answer a rank of train counts as lost, 300 by "
      "default." },
    { "CLFCN_HANG_SECONDS",
      "How long a step may take at least before the device counts as hanging, 60 by "
      "default." },
    { "CLFCN_PROBE",
      "The program that tries OpenCL drivers, in place of the installed one." },
    { "CLFCN_PROBE_SECONDS", "How long a driver may take to answer it, 10 by default." },
    { "CLFCN_SYSFS", "Where sensors and batteries are looked for, in place of /sys." },
    { "OCL_ICD_VENDORS", "The folder of OpenCL drivers, or one driver's file." },
    { "NO_COLOR", "Not empty: no colours, which only terminals get." },
    { 0 },
};

static const struct cli_manual manuals[] = {
    { "",
      "Trains fully convolutional networks for semantic segmentation on any OpenCL "
      "device: AMD, Intel and NVIDIA GPUs, integrated graphics, and CPUs through a "
      "runtime such as PoCL. Weights have the names that PyTorch uses.\n\n"
      "Every command takes --json for machine-readable output, one object a line, "
      "--quiet and -v. An error is one line on standard error: what failed, on which "
      "file or option, and the way out.",
      { { "clfcn devices", "See what there is:" },
        { "clfcn train --data demo --epochs 2 --out runs/demo",
          "Train on the built-in set of pictures:" },
        { "clfcn predict runs/demo/checkpoints/best.safetensors photos/ --out masks "
          "--overlay",
          "Draw masks:" } },
      { { 0 } },
      { NULL } },
    { "devices",
      "Lists every OpenCL device with its platform, driver, memory and what self-tests "
      "found on it, marks the one that --device chooses, and says why a device or a "
      "driver cannot be used. Each driver is first tried in a process of its own: one "
      "that crashes or hangs does no harm.",
      { { "clfcn devices", "What is there, and which one is chosen:" },
        { "clfcn devices --device gpu --json", "For programs:" } },
      { { 0 } },
      { "selftest", "tune" } },
    { "train",
      "Trains a network on pictures with masks and leaves a run folder. A data set is a "
      "folder with images/, masks/ and classes.txt, one of VOC, CamVid or Cityscapes, a "
      "list file, or 'demo', which is built in.\n\n"
      "One seed on one device and build gives the same bits. A run that was stopped, by "
      "Ctrl-C, a signal or a power failure, goes on with --resume as if it had never "
      "been stopped.\n\n"
      "With --verify-every N one pass of one layer of every N-th step is recomputed in "
      "float64, as the device had its inputs; if the device was wrong, the run ends with "
      "a report, and the last checkpoint stays as it was. A loss that is not finite is "
      "followed to the layer in which it begins.\n\n"
      "Under mpirun or srun each process is a rank, which drives one device and takes its "
      "share of every batch; --batch is that of all ranks together. Program, data set and "
      "run folder must be there under the same paths on all machines. Rank 0 alone writes "
      "and prints. If a rank fails, all end with one line that names it; --resume goes on "
      "with as many ranks as there are then, or with one process.",
      { { "clfcn train --data DIR --out runs/first", "Train with the defaults:" },
        { "clfcn train --resume runs/first --epochs 80", "Go on, for longer:" },
        { "clfcn train --data DIR --init vgg16.pth --freeze-backbone",
          "Start from an ImageNet backbone, and train the decoder only:" },
        { "clfcn train --data DIR --dashboard", "With a page to watch it on:" },
        { "mpirun -n 2 clfcn train --data DIR --batch 16",
          "On two devices of this machine:" },
        { "clfcn train --data DIR --pause-on-battery --max-temp 85", "On a laptop:" },
        { "clfcn train --data DIR --verify-every 50 --save-steps 200 --max-restarts 3",
          "On a device that may err now and then:" } },
      { { "RUN/config.json", "Every option." },
        { "RUN/log.jsonl", "What happened, an object a line." },
        { "RUN/checkpoints/last.safetensors", "What --resume goes on from." },
        { "RUN/checkpoints/best.safetensors",
          "The best mean IoU on the validation set." },
        { "RUN/checkpoints/epoch-NNNN.safetensors", "After every --save-every epochs." },
        { "RUN/samples/", "Image, truth and prediction side by side." },
        { "RUN/report.html", "All of it on one page." } },
      { "data", "plan", "eval", "report" } },
    { "eval",
      "Measures a checkpoint on pictures with masks: pixel accuracy, mean accuracy, mean "
      "IoU, frequency-weighted IoU and the IoU of each class, at each mask's own "
      "resolution. A bare weights file takes --arch, --backbone, --size and --classes.",
      { { "clfcn eval " CKPT " --data DIR --split val",
          "On the pictures that the run kept for validation:" },
        { "clfcn eval " CKPT " --data OTHER --json", "On another set, for programs:" } },
      { { 0 } },
      { "train", "predict" } },
    { "predict",
      "Draws a mask for each picture, PNG or JPEG, of folders too: an indexed PNG of the "
      "picture's size with the colours of the classes as its palette.",
      { { "clfcn predict " CKPT " photos/ --out masks", "A folder of pictures:" },
        { "clfcn predict " CKPT " a.jpg b.png --out masks --overlay",
          "Two pictures, with overlays to look at:" },
        { "clfcn predict " CKPT " large.png --out masks --mode tiles --scale 0.5 --flip",
          "A large picture, in overlapping tiles and twice, once mirrored:" } },
      { { "DIR/NAME.png", "The mask." },
        { "DIR/NAME.overlay.png", "With --overlay: the picture under the colours." },
        { "DIR/NAME.probs.npy", "With --probs: the probabilities of the classes." },
        { "DIR/NAME.npy", "With --logits: what the network said, float32." } },
      { "train", "eval" } },
    { "bench",
      "Times a training step and inference, each layer and pass, and measures the "
      "device's peak, to see how much of it is used. What was computed is verified "
      "against float64. A device that is too noisy to trust is called so. Exit status 1 "
      "if anything is wrong.",
      { { "clfcn bench --json > here.json", "Measure, and keep it for compare:" },
        { "clfcn bench --device all --net fcns/vgg16,fcn32s/vgg11",
          "Every device, two networks:" } },
      { { 0 } },
      { "compare", "tune", "plan" } },
    { "compare",
      "Lays what bench measured on several devices or at several times side by side: how "
      "many times as fast each is as the first, and whether that is beyond noise.",
      { { "clfcn compare here.json there.json --out compare.html",
          "Two machines, with a page to look at:" },
        { "clfcn compare before.json after.json --fail-if-slower 5%",
          "In continuous integration:" } },
      { { 0 } },
      { "bench", "info" } },
    { "tune",
      "Measures which algorithm is fastest for each pass of each convolution of a "
      "network, verifies each against float64, and keeps the winners for every later "
      "command on this device and driver.",
      { { "clfcn tune --size 160x160 --batch 4", "For what you train with:" },
        { "clfcn tune --size 160x160 --batch 4 --show", "See what is kept:" } },
      { { "~/.cache/clfcn/tuning/", "The winners, a file a device." } },
      { "bench", "selftest" } },
    { "selftest",
      "Runs every kernel on awkward shapes and numbers, holds it against its definition "
      "in float64, and keeps what was found. What is wrong is never used on that device "
      "and driver. Exit status 1 if anything is.",
      { { "clfcn selftest", "Every kernel:" },
        { "clfcn selftest --size 160x160 --batch 4",
          "On the shapes that you train with, too:" } },
      { { "~/.cache/clfcn/selftest/",
          "What was found, a file a device; clfcn info shows it." } },
      { "devices", "diverge", "info" } },
    { "plan",
      "Says how much device memory a network takes, by its parts, and how long a step "
      "will take, before anything is allocated. With --mem it says how it could take "
      "less, and what that costs.\n\n"
      "With --ranks it also says what a step takes on several ranks, each of which has a "
      "share of the batch and a device of its own, and what limits them: by a step that "
      "was estimated or measured, and a model of the exchange of gradients over links of "
      "the given bandwidth and latency, part of which goes on during the backward pass. "
      "What is assumed is said to be.",
      { { "clfcn plan --size 160x160 --batch 4", "What training takes:" },
        { "clfcn plan --size 160x160 --batch 4 --mem 210M", "In so much memory:" },
        { "clfcn plan --batch 64 --ranks 8,64 --bandwidth 10Gbit/s --latency 20us",
          "On 8 and on 64 ranks:" },
        { "clfcn plan --measured bench.json --ranks 8",
          "By a step that clfcn bench --json measured:" } },
      { { 0 } },
      { "train", "tune" } },
    { "diverge",
      "Trains the same network on two devices from the same weights and pictures, and "
      "compares every tensor. The first difference beyond rounding ends up as a report "
      "to send to a vendor, and as exit status 1.",
      { { "clfcn diverge --device 0 --device 1 --steps 3", "Two devices:" } },
      { { 0 } },
      { "selftest", "devices" } },
    { "data",
      "Examines a data set before training: its format, sizes, the share of each class, "
      "values that no class covers, broken files, and pictures that are there twice. "
      "Exit status 4 if there is anything that training would stumble over.",
      { { "clfcn data DIR", "Is it sound?" },
        { "clfcn data DIR --sheet sheet.png", "Look at it:" },
        { "clfcn data DIR --preview draws.png --augment standard",
          "See what training would make of it:" },
        { "clfcn data demo --write demo", "Write the built-in set as files:" } },
      { { 0 } },
      { "train" } },
    { "report",
      "Writes a run folder as one HTML page that loads nothing: curves, metrics, "
      "classes, sample pictures. It works during training too, which writes the same "
      "page after every epoch.",
      { { "clfcn report runs/first", "Write runs/first/report.html:" },
        { "clfcn report runs/first --out first.html", "Elsewhere:" },
        { "clfcn report runs/first --tensorboard events", "For TensorBoard, too:" } },
      { { "RUN/report.html", "The page." } },
      { "train", "info" } },
    { "export",
      "Writes a checkpoint's parameters so that others can use them: for PyTorch as what "
      "torch.load() gives to load_state_dict() of the public FCN model, as bare "
      "safetensors under the same names, or the whole network as an ONNX model, whose "
      "input is normalised RGB and whose output are logits.",
      { { "clfcn export " CKPT " fcn.pth", "For PyTorch:" },
        { "clfcn export " CKPT " fcn.onnx --any-size",
          "For OpenCV and others, at any size:" } },
      { { 0 } },
      { "import", "predict" } },
    { "import",
      "Turns weights that torch.save() wrote, a zip archive or the older stream, into "
      "safetensors. Such files are pickles, which can hold code: none of it is executed, "
      "and what no state_dict is made of is refused.",
      { { "clfcn import vgg16.pth vgg16.safetensors", "A backbone of torchvision:" } },
      { { 0 } },
      { "info", "train" } },
    { "info",
      "Shows what a file holds: a checkpoint or weights file with its network and "
      "tensors, what bench --json printed, a self-test's certificate; or how far a run "
      "is, given its folder, or the config.json or log.jsonl in it.",
      { { "clfcn info " CKPT, "A checkpoint:" },
        { "clfcn info here.json", "What bench measured:" },
        { "clfcn info runs/first", "A run:" } },
      { { 0 } },
      { "bench", "selftest", "report" } },
};

const struct cli_manual *cli_manual_find(const char *command)
{
    for (size_t i = 0; i < sizeof(manuals) / sizeof(manuals[0]); ++i) {
        if (strcmp(manuals[i].command, command) == 0) {
            return &manuals[i];
        }
    }
    return NULL;
}
