#include "launch.h"
#include <stdlib.h>

int clfcn_launch_size(void)
{
    static const char *const names[] = { "OMPI_COMM_WORLD_SIZE", "PMI_SIZE",
                                         "SLURM_STEP_NUM_TASKS" };
    for (int i = 0; i < (int)(sizeof(names) / sizeof(names[0])); ++i) {
        const char *value = getenv(names[i]);
        const long size = value ? strtol(value, NULL, 10) : 0;
        if (size > 1 && size <= 1000000) {
            return (int)size;
        }
    }
    return 1;
}
