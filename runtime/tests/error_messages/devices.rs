use mithridate_testkit::place::place;

use super::{certify, sentences};

#[test]
fn of_devices() {
    let folder = place();
    let of = |what, flags: &[&'static str]| (what, certify(flags));
    let cases = [
        of("a precision that is none", &["--precision", "half"]),
        of("a precision that the processor has not", &["--precision", "tf32"]),
        of("float16 on CUDA", &["--provider", "cuda", "--precision", "float16"]),
        of("a GPU's memory without a GPU", &["--device-memory", "8G"]),
        of("memory that is no number", &["--device-memory", "lots"]),
        of("no memory", &["--device-memory", "0"]),
        of("a noise mode that is none", &["--noise-mode", "frugal"]),
        of("TensorRT in single precision", &["--provider", "tensorrt:1"]),
    ];
    insta::assert_snapshot!(sentences(folder.path(), &cases));
}
