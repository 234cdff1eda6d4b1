//! Bilevel data poisoning of certified defences, and the robust training that it attacks.
//!
//! The attacker of Mehra, Kailkhura, Chen and Hamm (CVPR 2021) controls the training images of one class. It may change
//! each image within a small ℓ∞ ball but not its label. It chooses the changes so that a network trained from scratch on
//! the images, by a certified defence, has the smallest average certified radius on that class.
//!
//! A module uses only modules above it in this table, and those without a line of their own (`error`, `choice`):
//!
//! | module | subject |
//! | --- | --- |
//! | [`parameters`] | the parameters of a network as one vector |
//! | [`random`] | random tensors by seed and purpose |
//! | [`device`] | CPU and CUDA |
//! | [`events`] | progress and notes of long work |
//! | `checkpoint` | the state of interrupted runs on disk |
//! | [`figure`] | figures as SVG and PNG files |
//! | [`data`] | training sets as tensors, pixels as bytes |
//! | [`optimiser`] | Adam and gradient descent |
//! | [`networks`] | LeNet, MLP, linear, a wider CNN, residual networks; weights on disk; export to ONNX |
//! | [`training`] | training methods, victims from scratch |
//! | [`bilevel`] | linear solvers and hypergradients |
//! | [`attack`] | the soft average certified radius, the attack itself, baselines |
//! | [`mod@bench`] | the speed of training steps and hypergradients |
//! | [`boundary`] | the attack in two dimensions, as a picture |
//! | [`resolve`] | settings from preset, file and flags; the presets |
//! | [`poison`] | poison sets on disk |
//! | [`jobs`] | make a poison set, train a victim: files in, files out |
//! | [`inspect`] | the difference between poison and clean images, as text and picture |
//! | [`experiment`] | poison, victims, certification and report from one file |
//! | [`cli`] | the program `pacd` |

pub mod attack;
pub mod bench;
pub mod bilevel;
pub mod boundary;
mod checkpoint;
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
