//! Bilevel data poisoning of certified defences, and the robust training it is aimed at.
//!
//! The attacker of Mehra, Kailkhura, Chen and Hamm (CVPR 2021) owns the training images of one class and may move
//! each within a small ℓ∞ ball, labels untouched. It chooses them so that a network trained on them by a certified
//! defence, from scratch, has the smallest average certified radius on that class.
//!
//! | module | subject |
//! | --- | --- |
//! | [`data`] | training sets as tensors |
//! | [`networks`] | LeNet, MLP, linear, a wider CNN, residual networks; weights on disk; export to ONNX |
//! | [`optimiser`] | Adam and gradient descent |
//! | [`training`] | training methods, victims from scratch |
//! | [`bilevel`] | linear solvers and hypergradients |
//! | [`attack`] | the soft average certified radius, the attack itself, baselines |
//! | [`poison`] | poison sets on disk |
//! | [`checkpoint`] | the state of interrupted runs on disk |
//! | [`resolve`] | settings from preset, file and flags |
//! | [`jobs`] | what the commands do, files in, files out |
//! | [`experiment`] | poison, victims, certification and report from one file |
//! | [`mod@bench`] | how fast training steps and hypergradients are |
//! | [`events`] | what long work tells its caller |
//! | [`figure`] | figures as SVG and PNG files |
//! | [`boundary`] | the attack in two dimensions, as a picture |
//! | [`inspect`] | how far poison is from clean images, in numbers and as a picture |
//! | [`cli`] | the program `pacd` |

pub mod attack;
pub mod bench;
pub mod bilevel;
pub mod boundary;
pub mod checkpoint;
mod choice;
pub mod cli;
pub mod data;
pub mod device;
mod error;
pub mod events;
pub mod experiment;
pub mod figure;
pub mod inspect;
pub mod jobs;
mod memory;
pub mod networks;
pub mod optimiser;
pub mod parameters;
pub mod poison;
pub mod random;
pub mod resolve;
pub mod training;

pub use error::Error;
