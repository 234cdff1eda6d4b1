//! Tests of what the crate offers to others and of its program, as one test program: to link one is most of what building
//! these tests costs. Apart stand `allocations`, which counts those of the whole process, and `embed`, which keeps deadlines.

#[cfg(feature = "ort")]
mod arithmetic;
mod cifar10;
mod class_order;
mod clopper_pearson;
#[cfg(feature = "cli")]
mod cluster;
mod coverage;
mod environment;
mod error_messages;
mod evidence;
mod honest_evidence;
mod images;
mod memory;
#[cfg(feature = "cli")]
mod models;
mod npz;
#[cfg(feature = "ort")]
mod onnx_round_trip;
mod origin;
mod probe;
mod readers;
mod regressions;
mod rounding;
mod signals;
mod smoothing_program;
mod unlabelled;
