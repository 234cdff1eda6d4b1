//! What an adversary may try, each with what must happen; see README.md.
//!
//! | part | subject |
//! | --- | --- |
//! | [`models`] | hostile and odd models, certified by the program |
//! | [`evidence`] | forged evidence, given to every command that reads it |
//! | [`shares`] | the share of false certificates, counted |
//! | [`table`] | printing |

pub mod evidence;
pub mod models;
pub mod shares;
pub mod table;
