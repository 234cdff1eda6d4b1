// Certificates of robustness for the frames of a camera, each under a deadline.
//
// Made from the sources in c/src; `cargo test -p mithridate-c --test header` says when it is behind them.

#ifndef MITHRIDATE_H
#define MITHRIDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// How a call ended.
typedef enum {
  // Well.
  MITHRIDATE_STATUS_OK = 0,
  // An argument can't be used: a null pointer, a number out of range, a frame of another length.
  MITHRIDATE_STATUS_INVALID_ARGUMENT = 1,
  // The model or ONNX Runtime can't be loaded.
  MITHRIDATE_STATUS_LOAD_FAILED = 2,
  // The model failed while it ran, or answered a sample otherwise when it was asked again.
  MITHRIDATE_STATUS_RUN_FAILED = 3,
  // A fault of this library. The certifier can't be used any more, only freed.
  MITHRIDATE_STATUS_INTERNAL_ERROR = 4,
} mithridate_status;

// A loaded model. One thread at a time may use it; different ones are independent.
typedef struct mithridate_certifier mithridate_certifier;

// What to load, and how to certify. Start from `mithridate_default_options()`.
typedef struct {
  // Path of the classifier, an ONNX file. UTF-8.
  const char *model;
  // Path of `libonnxruntime.so`, version 1.24 or newer; null for the one in the variable `ORT_DYLIB_PATH`, beside the
  // program, or of the system. A process has one only. It reports its use to its maker unless the variable
  // `ORT_DISABLE_TELEMETRY` is set when it is loaded; in a process with other threads set it yourself, before they start.
  const char *onnxruntime;
  // What ONNX Runtime runs the model on: `cpu`, `cuda`, `cuda:N`, `tensorrt` or `tensorrt:N`; null for the processor. A
  // provider that is not there is an error, and never replaced by another.
  const char *provider;
  // Standard deviation of the noise, in the units of the frames; 0 for the training sigma in the model's metadata.
  double sigma;
  // Probability that a certificate may be wrong.
  double alpha;
  // Samples that choose the class of a frame. A multiple of the batch wastes none.
  uint64_t n0;
  // Most fresh samples that bound its probability.
  uint64_t max_samples;
  // A radius to stop at, in the units of the frames, before the time is up: as soon as it is
  // certified, or all samples would hardly certify it. 0 to use all the time there is.
  double enough_radius;
  // Seed of all noise; 0 for one from the operating system.
  uint64_t seed;
  // Threads of the engine; 1 runs everything on the thread that calls.
  uint32_t threads;
  // Samples that the model gets at once. A deadline is kept to about the time of one such batch. With 1, an answer can't
  // depend on other samples.
  uint32_t batch;
} mithridate_options;

// What is known of a frame when its time is up.
typedef struct {
  // The class, from 0; -1 if the time did not suffice to choose one.
  int64_t class_index;
  // Certified l2 radius in the units of the frame, rounded down; 0 for an abstention.
  double radius;
  // Lower bound on the probability of the class under noise, rounded down.
  double p_lower;
  // Samples that chose the class.
  uint64_t selection_samples;
  // Fresh samples that the bound rests on.
  uint64_t samples;
  // Number of the frame, from 0: part of the key of its noise.
  uint64_t frame;
  // Time from the call to the answer, in microseconds.
  uint64_t microseconds;
  // Whether nothing is certified.
  bool abstained;
} mithridate_certificate;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Version of this library, such as "0.1.0"; valid as long as the program runs.
const char *mithridate_version(void);

// What the last call that failed on this thread failed with, as a sentence; empty if none did.
//
// Valid until the next call that fails on this thread.
const char *mithridate_last_error(void);

// Loads a model, tests the noise and takes all memory, so that no later call allocates any but to report an error.
//
// That an answer depends on its own sample alone is looked at when a model is loaded, and later on one sample of one
// frame in 16; only with options.batch 1 can nothing else come in, whatever the model. The model is loaded in this process:
// `rscert inspect` tries one of a stranger in a process of its own.
//
// On success `*certifier` is to be freed with `mithridate_free()`, else it is null.
//
// # Safety
// `options` points to options whose texts are null or end with a zero byte; `certifier` points to a pointer.
mithridate_status mithridate_load(const mithridate_options *options,
                                  mithridate_certifier **certifier);

// Certifies the next frame: `length` values, channels by rows by columns, in the units of the data that the model
// was trained on ([0, 1] for images), within `deadline_ms` milliseconds from now.
//
// Stops early once `options.max_samples` are run. The claim holds whenever it stops: with probability 1 - alpha, no
// change of the frame by less than the radius changes the class that the smoothed model answers.
//
// # Safety
// `certifier` comes from `mithridate_load()`, is not freed and not in use by another thread; `image` points to
// `length` floats; `certificate` points to a certificate, which is written on success only.
mithridate_status mithridate_certify(mithridate_certifier *certifier,
                                     const float *image,
                                     size_t length,
                                     double deadline_ms,
                                     mithridate_certificate *certificate);

// Number of values in a frame, channels times rows times columns; 0 for a null pointer.
//
// # Safety
// `certifier` is null, or comes from `mithridate_load()` and is not freed.
size_t mithridate_input_length(const mithridate_certifier *certifier);

// Number of classes; 0 for a null pointer.
//
// # Safety
// `certifier` is null, or comes from `mithridate_load()` and is not freed.
size_t mithridate_classes(const mithridate_certifier *certifier);

// Seed of all noise, to draw that of a frame again; 0 for a null pointer. Whoever makes the frames must not know it.
//
// # Safety
// `certifier` is null, or comes from `mithridate_load()` and is not freed.
uint64_t mithridate_seed(const mithridate_certifier *certifier);

// Frees a certifier; does nothing for a null pointer.
//
// # Safety
// `certifier` is null, or comes from `mithridate_load()`, is not freed and not in use.
void mithridate_free(mithridate_certifier *certifier);

// The usual options, for a model: alpha 0.001, n0 64, at most 100000 samples, a seed from the operating system, one
// thread of the processor, batches of 64, sigma from the model's metadata.
mithridate_options mithridate_default_options(const char *model);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MITHRIDATE_H */
