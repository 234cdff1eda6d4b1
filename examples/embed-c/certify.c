/*
 * Certifies an image within a deadline, as a robot would certify a frame of its camera.
 *
 *   certify MODEL IMAGE [DEADLINE_MS [SIGMA [PROVIDER]]]
 *
 * MODEL is an ONNX classifier, IMAGE a binary PGM or PPM file (P5, P6) of the size that the model takes. ONNX Runtime
 * is the library in the variable ORT_DYLIB_PATH, or the system's; PROVIDER, such as cuda, says what it runs the model on.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "mithridate.h"

/* A number of a PGM header, after white space and comments; -1 if there is none. */
static long header_number(FILE *file)
{
    int c = fgetc(file);
    while (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '#') {
        if (c == '#') {
            while (c != '\n' && c != EOF) {
                c = fgetc(file);
            }
        }
        c = fgetc(file);
    }
    long number = -1;
    while (c >= '0' && c <= '9' && number < 100000) {
        number = (number < 0 ? 0 : 10 * number) + (c - '0');
        c = fgetc(file);
    }
    return number;
}

/* Channels by rows by columns, each value in [0, 1]; a sentence and NULL if the file can't be read. */
static float *read_image(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "certify: %s can't be opened\n", path);
        return NULL;
    }
    float *image = NULL;
    const int p = fgetc(file), kind = fgetc(file);
    const long channels = kind == '6' ? 3 : 1;
    const long width = header_number(file), height = header_number(file), most = header_number(file);
    if (p != 'P' || (kind != '5' && kind != '6') || width < 1 || height < 1 || width > 10000 || height > 10000 ||
        most < 1 || most > 255) {
        fprintf(stderr, "certify: %s is no binary PGM or PPM file with 8 bits a value\n", path);
        goto done;
    }
    const size_t pixels = (size_t)width * (size_t)height;
    *length = pixels * (size_t)channels;
    image = malloc(*length * sizeof *image);
    if (image == NULL) {
        fprintf(stderr, "certify: no memory for %zu values\n", *length);
        goto done;
    }
    for (size_t i = 0; i < *length; i++) {
        const int value = fgetc(file);
        if (value == EOF) {
            fprintf(stderr, "certify: %s ends early\n", path);
            free(image);
            image = NULL;
            goto done;
        }
        const size_t pixel = i / (size_t)channels, channel = i % (size_t)channels;
        image[channel * pixels + pixel] = (float)value / (float)most;
    }
done:
    fclose(file);
    return image;
}

static int fail(void)
{
    fprintf(stderr, "certify: %s\n", mithridate_last_error());
    return 1;
}

int main(int argc, char **argv)
{
    if (argc < 3 || argc > 6) {
        fprintf(stderr, "usage: certify MODEL IMAGE [DEADLINE_MS [SIGMA [PROVIDER]]]\n");
        return 2;
    }
    size_t length = 0;
    float *image = read_image(argv[2], &length);
    if (image == NULL) {
        return 1;
    }
    const double deadline = argc > 3 ? strtod(argv[3], NULL) : 50.0;
    mithridate_options options = mithridate_default_options(argv[1]);
    options.sigma = argc > 4 ? strtod(argv[4], NULL) : 0.25;
    options.provider = argc > 5 ? argv[5] : NULL;

    int status = 1;
    mithridate_certifier *certifier = NULL;
    mithridate_certificate certificate;
    if (mithridate_load(&options, &certifier) != MITHRIDATE_STATUS_OK) {
        fail();
    } else if (mithridate_certify(certifier, image, length, deadline, &certificate) != MITHRIDATE_STATUS_OK) {
        fail();
    } else {
        if (certificate.abstained) {
            printf("nothing certified");
        } else {
            printf("class %" PRId64 " within an l2 distance of %.4f", certificate.class_index, certificate.radius);
        }
        printf(" (%" PRIu64 " samples, %.1f ms)\n", certificate.samples, (double)certificate.microseconds / 1000.0);
        status = 0;
    }
    mithridate_free(certifier);
    free(image);
    return status;
}
