/* array.c - arrays that grow as they are filled. */
#include "array.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *clfcn_array_grow(void *list, size_t need, size_t *room, size_t item_bytes)
{
    if (list && need <= *room) {
        return list;
    }
    const size_t most = PTRDIFF_MAX / item_bytes;
    size_t more = *room > most / 2 ? most : 2 * *room;
    more = more < 4 ? 4 : more;
    more = more < need ? need : more;
    char *grown = more <= most ? realloc(list, more * item_bytes) : NULL;
    if (grown) {
        memset(grown + *room * item_bytes, 0, (more - *room) * item_bytes);
        *room = more;
    }
    return grown;
}
