//! Tests that need libtorch or several crates, as one test program: to link one is most of what building these tests costs.

mod attack_resume;
mod bench;
mod boundary;
mod certify_program;
mod cifar_files;
mod command_line;
mod conformance;
mod end_to_end;
mod export_parity;
mod export_precision;
mod inspect;
mod quick_example;
