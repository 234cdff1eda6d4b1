// Certificates of robustness: for the frames of a camera, each under a deadline; and what rscert does, as jobs.
//
// Made from the sources in c/src; `cargo test -p mithridate-c --test header` says when it is behind them.

#ifndef MITHRIDATE_H
#define MITHRIDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Result of a call.
typedef enum {
  // Success.
  MITHRIDATE_STATUS_OK = 0,
  // An argument is invalid: a null pointer, a number out of range, a frame of the wrong length.
  MITHRIDATE_STATUS_INVALID_ARGUMENT = 1,
  // The model or ONNX Runtime can't be loaded.
  MITHRIDATE_STATUS_LOAD_FAILED = 2,
  // The model failed while it ran, or gave another answer when a sample was run again.
  MITHRIDATE_STATUS_RUN_FAILED = 3,
  // A fault of this library. The certifier can only be freed.
  MITHRIDATE_STATUS_INTERNAL_ERROR = 4,
  // A file can't be read or written, or does not hold what it should.
  MITHRIDATE_STATUS_FILE_FAILED = 5,
  // The observer stopped the job.
  MITHRIDATE_STATUS_STOPPED = 6,
} mithridate_status;

// A loaded model. Only one thread at a time may use it; different certifiers are independent.
typedef struct mithridate_certifier mithridate_certifier;

// The model to load and the settings of its certificates. Start from `mithridate_default_options()`.
typedef struct {
  // Path of the classifier, an ONNX file. UTF-8.
  const char *model;
  // Path of `libonnxruntime.so`, version 1.24 or newer. If null, the library is searched in the environment variable
  // `ORT_DYLIB_PATH`, beside the program, and in the system. A process can load only one. ONNX Runtime reports its
  // use to its maker unless the environment variable `ORT_DISABLE_TELEMETRY` is set when it is loaded. In a process
  // with several threads, set the variable yourself before they start.
  const char *onnxruntime;
  // Execution provider of ONNX Runtime: `cpu`, `cuda`, `cuda:N`, `tensorrt` or `tensorrt:N`; null for `cpu`. If the
  // provider is not available, loading fails; no other provider is used instead.
  const char *provider;
  // Standard deviation of the noise in the units of the frames; 0 for the training sigma in the model's metadata.
  double sigma;
  // Largest probability with which a certificate may be wrong.
  double alpha;
  // Number of selection samples of a frame. Multiples of `batch` waste no time.
  uint64_t n0;
  // Largest number of estimation samples of a frame.
  uint64_t max_samples;
  // Radius in the units of the frames at which sampling stops before the time limit: as soon as it is certified, or
  // when `max_samples` samples would hardly certify it. 0 to use the whole time.
  double enough_radius;
  // Seed of the noise; 0 for a seed from the operating system.
  uint64_t seed;
  // Number of threads of the engine. With 1, everything runs on the calling thread.
  uint32_t threads;
  // Number of samples in a batch. A time limit is exceeded by at most about the time of one batch. With 1, the
  // model's answer to a sample can't depend on other samples.
  uint32_t batch;
} mithridate_options;

// The certificate of one frame.
typedef struct {
  // Index of the class, from 0; -1 if no sample voted for a class, such as when the time limit was too short.
  int64_t class_index;
  // Certified l2 radius in the units of the frame, rounded down; 0 for an abstention.
  double radius;
  // Lower bound on the probability of the class under noise, at confidence 1 - alpha, rounded down.
  double p_lower;
  // Number of selection samples, which selected the class.
  uint64_t selection_samples;
  // Number of estimation samples, from which the bound was computed.
  uint64_t samples;
  // Number of the frame, from 0. It is part of the key of the frame's noise.
  uint64_t frame;
  // Time from the call to its return, in microseconds.
  uint64_t microseconds;
  // Whether there is no certificate.
  bool abstained;
} mithridate_certificate;

// Receives notes and progress of a job. Its functions may be called from any thread, one call at a time. They must not
// call back into this library. Each may be null.
typedef struct {
  // Passed on to the functions.
  void *context;
  // Gets a note for the user: one sentence, UTF-8, valid during the call.
  void (*note)(void *context, const char *sentence);
  // Gets the title of the current work, and its steps, samples or inputs, that are done and that there are. Returns
  // whether to go on: after `false` the job stops, and what is finished stays in its evidence file.
  bool (*progress)(void *context, const char *title, uint64_t done, uint64_t steps);
} mithridate_observer;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Version of this library, such as "0.1.0". The string is valid as long as the program runs.
const char *mithridate_version(void);

// Message of the last failed call on this thread; empty if no call has failed.
//
// The string is valid until the next failed call on this thread.
const char *mithridate_last_error(void);

// Loads a model, tests the noise and allocates all memory. Later calls allocate memory only to report an error.
//
// A certificate is valid only if the model's answer to a sample does not depend on the other samples of its batch.
// This is tested when the model is loaded, and later with one sample of one frame in 16. With `options.batch` 1 it is
// certain for every model. The model is loaded in this process; use `rscert inspect` to try an untrusted model in a
// separate process.
//
// On success free `*certifier` with `mithridate_free()`. On failure it is null.
//
// # Safety
// `options` points to options whose strings are null or end with a zero byte; `certifier` points to a pointer.
mithridate_status mithridate_load(const mithridate_options *options,
                                  mithridate_certifier **certifier);

// Certifies the next frame within `deadline_ms` milliseconds from now. `image` has `length` values, channels by rows by
// columns, in the units of the data set on which the model was trained (from 0 to 1 for images).
//
// Stops early after `options.max_samples` estimation samples or at `options.enough_radius`. The certificate is valid
// whenever sampling stops: with probability at least 1 - alpha, the smoothed classifier returns the same class for
// every frame within the certified radius.
//
// # Safety
// `certifier` comes from `mithridate_load()`, has not been freed and is not in use by another thread; `image` points to
// `length` floats; `certificate` points to a certificate, which is written on success only.
mithridate_status mithridate_certify(mithridate_certifier *certifier,
                                     const float *image,
                                     size_t length,
                                     double deadline_ms,
                                     mithridate_certificate *certificate);

// Number of values in a frame, channels times rows times columns; 0 for a null pointer.
//
// # Safety
// `certifier` is null, or comes from `mithridate_load()` and has not been freed.
size_t mithridate_input_length(const mithridate_certifier *certifier);

// Number of classes; 0 for a null pointer.
//
// # Safety
// `certifier` is null, or comes from `mithridate_load()` and has not been freed.
size_t mithridate_classes(const mithridate_certifier *certifier);

// Seed of the noise, with which the noise of a frame can be repeated; 0 for a null pointer. Whoever provides the
// frames must not know it.
//
// # Safety
// `certifier` is null, or comes from `mithridate_load()` and has not been freed.
uint64_t mithridate_seed(const mithridate_certifier *certifier);

// Frees a certifier; does nothing for a null pointer.
//
// # Safety
// `certifier` is null, or comes from `mithridate_load()`, has not been freed and is not in use.
void mithridate_free(mithridate_certifier *certifier);

// Runs a job, what a sub-command of `rscert` does: `certify`, `predict`, `recertify`, `merge`, `verify`, `audit`,
// `inspect`, `keygen`, `sign` or `bench`.
//
// `settings` is a JSON object, such as `{"run": "run.jsonl", "model": "lenet.onnx", "data": "data/mnist", "replay":
// 5}`. Its members are named as flags of the sub-command, with `_` for `-`, except `classes` (`--class`), `table`
// (`--tsv`), and `distribution` (`--noise` and `--exact-noise`: `gaussian`, `uniform` or `quantized-gaussian`). What is left
// out has the same value as on the command line, except that `out` has to be named.
//
// On success `*result` is the JSON document that the sub-command prints with `--json`; free it with
// `mithridate_free_text()`. On failure it is null. A verification that finds something wrong succeeds: look at `holds`
// in its document. ONNX Runtime is searched as described for `mithridate_options`. Models are loaded in this process;
// use `rscert inspect` to try an untrusted model in a separate process.
//
// # Safety
// `job` and `settings` end with a zero byte; `observer` is null, or points to an observer whose functions can be called
// with its context from any thread; `result` is null or points to a pointer.
mithridate_status mithridate_run_job(const char *job,
                                     const char *settings,
                                     const mithridate_observer *observer,
                                     char **result);

// Frees the document of a job; does nothing for a null pointer.
//
// # Safety
// `text` is null, or comes from `mithridate_run_job()` and has not been freed.
void mithridate_free_text(char *text);

// Default options for the model file `model`: alpha 0.001, n0 64, `max_samples` 100000, a seed from the operating
// system, one thread of the processor, batches of 64, sigma from the model's metadata.
mithridate_options mithridate_default_options(const char *model);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MITHRIDATE_H */
