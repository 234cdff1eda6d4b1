/*
 * Certifies a changed model from the run of an earlier one, and verifies the new run: what `rscert recertify` and
 * `rscert verify` do, from C.
 *
 *   audit FROM MODEL DATA OUT
 *
 * FROM is the evidence of the earlier model, made with `rscert certify --keep-votes`; MODEL the changed model, DATA the
 * data set of the earlier run, OUT the evidence to write. Settings of a job are one JSON object; here they are put together
 * by hand, from paths without quotation marks and backslashes. Exit status: 0 all holds, 1 an error, 2 wrong usage, 3
 * something does not hold.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mithridate.h"

#define ROOM 8192

static void note(void *context, const char *sentence)
{
    (void)context;
    fprintf(stderr, "audit: note: %s\n", sentence);
}

/* Prints what is done when it is a tenth more than the last time. */
static bool progress(void *context, const char *title, uint64_t done, uint64_t steps)
{
    uint64_t *tenth = context;
    const uint64_t now = steps == 0 ? 10 : 10 * done / steps;
    if (now != *tenth) {
        *tenth = now;
        fprintf(stderr, "audit: %s: %" PRIu64 " of %" PRIu64 "\n", title, done, steps);
    }
    return true; /* false would stop the job. */
}

/* The document of a job; a sentence and NULL if it failed. */
static char *run(const char *job, const char *settings)
{
    uint64_t tenth = 0;
    const mithridate_observer observer = {&tenth, note, progress};
    char *document = NULL;
    if (mithridate_run_job(job, settings, &observer, &document) != MITHRIDATE_STATUS_OK) {
        fprintf(stderr, "audit: %s: %s\n", job, mithridate_last_error());
    }
    return document;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: audit FROM MODEL DATA OUT\n");
        return 2;
    }
    const char *from = argv[1], *model = argv[2], *data = argv[3], *out = argv[4];
    for (int i = 1; i < argc; i++) {
        if (strpbrk(argv[i], "\"\\") != NULL || strlen(argv[i]) > ROOM / 8) {
            fprintf(stderr, "audit: %s has quotation marks or backslashes, or is too long\n", argv[i]);
            return 2;
        }
    }
    char settings[ROOM];
    snprintf(settings, sizeof settings,
             "{\"from\": \"%s\", \"model\": \"%s\", \"data\": \"%s\", \"out\": \"%s\", \"n\": 500}", from, model, data, out);
    char *recertified = run("recertify", settings);
    if (recertified == NULL) {
        return 1;
    }
    printf("%s\n", recertified);
    mithridate_free_text(recertified);

    snprintf(settings, sizeof settings,
             "{\"run\": \"%s\", \"model\": \"%s\", \"data\": \"%s\", \"from\": \"%s\", \"replay\": \"all\"}", out, model, data,
             from);
    char *verified = run("verify", settings);
    if (verified == NULL) {
        return 1;
    }
    printf("%s\n", verified);
    /* A program that goes on with the result reads it with its JSON library. */
    const bool holds = strstr(verified, "\"holds\": true") != NULL;
    mithridate_free_text(verified);
    return holds ? 0 : 3;
}
