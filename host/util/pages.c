#include "pages.h"

#include <stdlib.h>

void *clfcn_pages_alloc(size_t bytes)
{
    const size_t pages = bytes / CLFCN_PAGE + (bytes % CLFCN_PAGE > 0) + (bytes == 0);
    return pages <= SIZE_MAX / CLFCN_PAGE ? aligned_alloc(CLFCN_PAGE, pages * CLFCN_PAGE)
                                          : NULL;
}
