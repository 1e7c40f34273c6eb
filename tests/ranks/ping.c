/* What the links between ranks give: rank 0 exchanges messages with each of the others.
 *
 *   ping [TRIES] [BYTES]   round trips and size of the long message, 20 and 1 MiB
 *   ping watch             a line for each round trip, ten a second, until it is killed
 *
 * Prints a JSON object a rank:
 * {"rank":..,"host":..,"label":..,"args":[..],"round_trip_ms":.., "mbyte_s":..}, the
 * quickest and the fastest of all tries; label is $CLFCN_PING_LABEL. */
#include <errno.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TAG = 7, HOST_LEN = MPI_MAX_PROCESSOR_NAME };

static void pause_ms(long ms)
{
    struct timespec left = { ms / 1000, ms % 1000 * 1000000 };
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

/* Seconds for bytes to the peer and back one byte; the peer calls echo(). */
static double exchange(int peer, char *buffer, int bytes)
{
    const double began = MPI_Wtime();
    MPI_Send(buffer, bytes, MPI_CHAR, peer, TAG, MPI_COMM_WORLD);
    MPI_Recv(buffer, 1, MPI_CHAR, peer, TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    return MPI_Wtime() - began;
}

static void echo(char *buffer, int bytes)
{
    MPI_Recv(buffer, bytes, MPI_CHAR, 0, TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    MPI_Send(buffer, 1, MPI_CHAR, 0, TAG, MPI_COMM_WORLD);
}

/* The least seconds of some exchanges between rank 0 and the peer, where this is rank 0.
 */
static double least(int rank, int peer, char *buffer, int bytes, int tries)
{
    double best = 1e9;
    for (int i = 0; i < tries; ++i) {
        if (rank == 0) {
            const double took = exchange(peer, buffer, bytes);
            best = took < best ? took : best;
        } else if (rank == peer) {
            echo(buffer, bytes);
        }
    }
    return best;
}

static void watch(int rank, int size, char *buffer)
{
    for (;;) {
        for (int peer = 1; peer < size; ++peer) {
            const double s = least(rank, peer, buffer, 1, 1);
            if (rank == 0) {
                printf("{\"peer\":%d,\"round_trip_ms\":%.3f}\n", peer, s * 1e3);
                fflush(stdout);
            }
        }
        pause_ms(100);
    }
}

static void print_rank(int rank, const char *host, int argc, char **argv,
                       double round_trip, double mbyte_s)
{
    const char *label = getenv("CLFCN_PING_LABEL");
    printf("{\"rank\":%d,\"host\":\"%s\",\"label\":\"%s\",\"args\":[", rank, host,
           label != NULL ? label : "");
    for (int i = 1; i < argc; ++i) {
        printf("%s\"%s\"", i > 1 ? "," : "", argv[i]);
    }
    printf("],\"round_trip_ms\":%.3f,\"mbyte_s\":%.2f}\n", round_trip * 1e3, mbyte_s);
}

/* Rank 0 alone measures, and tells the peer what it found. */
static void measure(int rank, int size, int tries, int bytes, char *buffer,
                    double *result)
{
    for (int peer = 1; peer < size; ++peer) {
        const double short_s = least(rank, peer, buffer, 1, tries);
        const double long_s = least(rank, peer, buffer, bytes, 3);
        double found[2] = { short_s, bytes / long_s / 1e6 };
        if (rank == 0) {
            MPI_Send(found, 2, MPI_DOUBLE, peer, TAG, MPI_COMM_WORLD);
        } else if (rank == peer) {
            MPI_Recv(result, 2, MPI_DOUBLE, 0, TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        }
    }
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    int rank, size, length;
    char host[HOST_LEN];
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Get_processor_name(host, &length);

    const int watching = argc > 1 && strcmp(argv[1], "watch") == 0;
    const int tries = argc > 1 && !watching ? atoi(argv[1]) : 20;
    const int bytes = argc > 2 ? atoi(argv[2]) : 1 << 20;
    char *buffer = calloc((size_t)bytes + 1, 1);
    if (buffer == NULL) {
        MPI_Abort(MPI_COMM_WORLD, 1);
    } else if (watching) {
        watch(rank, size, buffer);
    } else {
        double result[2] = { 0.0, 0.0 };
        measure(rank, size, tries, bytes, buffer, result);
        print_rank(rank, host, argc, argv, result[0], result[1]);
    }
    free(buffer);
    MPI_Finalize();
    return 0;
}
