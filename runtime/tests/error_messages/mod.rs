//! One sentence for everything that can be wrong with what `rscert` is given: data, images, evidence, models, flags,
//! places to write to. The sentences are snapshots, to be read as a user would.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod basics;
mod checks;
mod devices;
#[cfg(unix)]
mod endless;
mod places;

use std::{fs, path::Path};

use mithridate_onnx::ModelMetadata;
use mithridate_testkit::{
    halves::model,
    place::{place, png, put},
    program::rscert,
    sentences::{list, sentence},
};

/// Runs each case, what is wrong and the arguments, and lists what was said.
fn sentences(folder: &Path, cases: &[(&str, Vec<&str>)]) -> String {
    let run = |(what, arguments): &(&str, Vec<&str>)| {
        ((*what).to_owned(), rscert(folder, arguments).output().unwrap())
    };
    list(folder, cases.iter().map(run))
}

/// `rscert certify` with defaults for what is not given.
fn certify<'a>(changes: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["certify"];
    for (flag, value) in [
        ("--model", "model.onnx"),
        ("--data", "data"),
        ("--sigma", "0.25"),
        ("--n", "100"),
        ("--batch", "64"),
        ("--threads", "1"),
        ("--out", "out.jsonl"),
    ] {
        if !changes.contains(&flag) {
            arguments.extend([flag, value]);
        }
    }
    arguments.extend(changes);
    arguments
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

#[test]
fn of_data() {
    let folder = place();
    let root = folder.path();
    let labels = fs::read(root.join("data/t10k-labels-idx1-ubyte")).unwrap();
    for (name, images) in [
        ("empty", &b""[..]),
        ("header", &[0, 0, 8]),
        ("floats", &[0, 0, 13, 3, 0, 0, 0, 1]),
        (
            "huge",
            &[0, 0, 8, 4, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255],
        ),
        ("flat", &[0, 0, 8, 1, 0, 0, 0, 1, 7]),
        ("none", &[0, 0, 8, 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2]),
        ("gzip", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 99, 96]),
    ] {
        put(root, &format!("{name}/t10k-images-idx3-ubyte"), images);
        put(root, &format!("{name}/t10k-labels-idx1-ubyte"), &labels);
    }
    put(
        root,
        "unlabelled/t10k-images-idx3-ubyte",
        &fs::read(root.join("data/t10k-images-idx3-ubyte")).unwrap(),
    );
    put(root, "empty.bin", b"");
    put(root, "empty.npz", b"");
    put(root, "text.npy", b"not an array");
    put(root, "cut/images.npy", &fixture("npz/images.npy")[..60]);
    put(root, "cut/labels.npy", &fixture("npz/labels.npy"));
    fs::create_dir(root.join("nothing")).unwrap();
    fs::create_dir(root.join("folder.npz")).unwrap();
    let data = |what, path: &'static str| (what, certify(&["--data", path]));
    let cases = [
        data("an empty folder", "nothing"),
        data("a folder in place of a file", "folder.npz"),
        data("an empty IDX file", "empty"),
        data("an IDX file cut within its header", "header"),
        data("an IDX file of floats", "floats"),
        data("an IDX file of more than there can be", "huge"),
        data("an IDX file without an image", "none"),
        data("IDX labels in place of images", "flat"),
        data("a damaged gzip file", "gzip"),
        data("IDX images without labels", "unlabelled"),
        data("an empty CIFAR file", "empty.bin"),
        data("an empty npz file", "empty.npz"),
        data("an npy file that is text, without labels beside it", "text.npy"),
        data("an npy file cut short", "cut/images.npy"),
        data("a name with a line end", "no\nsuch"),
        data("an empty name", ""),
        data("a device", "/dev/null"),
    ];
    insta::assert_snapshot!(sentences(root, &cases));
}

#[test]
fn of_images() {
    let folder = place();
    let root = folder.path();
    let image = png(2, 2, &[1, 2, 3, 4]);
    put(root, "text/a/1.png", &image);
    put(root, "text/a/read me.txt", b"");
    put(root, "beside/a/1.png", &image);
    put(root, "beside/labels.csv", b"");
    put(root, "loose/1.png", &image);
    put(root, "deep/a/1.png", &image);
    put(root, "deep/a/b/1.png", &image);
    put(root, "sizes/a/1.png", &image);
    put(root, "sizes/b/größer.png", &png(3, 2, &[0; 6]));
    put(root, "numbers/0/1.png", &image);
    put(root, "numbers/70000/1.png", &image);
    put(root, "twice/1/1.png", &image);
    put(root, "twice/01/1.png", &image);
    put(root, "three/a/1.png", &image);
    put(root, "three/b/1.png", &image);
    put(root, "three/c/1.png", &image);
    put(root, "parts/train/a/1.png", &image);
    put(root, "text.png", b"this is text");
    put(root, "empty.jpg", b"");
    put(root, "cut.png", &image[..40]);
    put(root, "cut.jpg", &fixture("images/rgb.jpg")[..500]);
    put(root, "transparent.png", &fixture("images/transparent.png"));
    put(root, "large.png", &png(23, 17, &[0; 391]));
    put(root, "colour.png", &fixture("images/rgb.png"));
    fs::create_dir(root.join("folder.png")).unwrap();
    let of = |what, flags: &[&'static str]| (what, certify(&[&["--data"], flags].concat()));
    let cases = [
        of("a text file among images", &["text"]),
        of("a file beside the classes", &["beside"]),
        of("images without folders", &["loose"]),
        of("a folder in the folder of a class", &["deep"]),
        of("images of two sizes", &["sizes"]),
        of("a class number too large", &["numbers"]),
        of("two folders of one class", &["twice"]),
        of("more classes than the model has", &["three"]),
        of("a folder without the test split", &["parts"]),
        of("the training split of images without splits", &["images", "--split", "train"]),
        of("a crop larger than the images", &["images", "--crop", "3"]),
        of("images of another size than the model takes", &["images", "--crop", "1"]),
        of("a resize beyond reason", &["images", "--resize", "1000000"]),
        of("a resize to nothing", &["images", "--resize", "0"]),
        of("a crop to nothing", &["images", "--crop", "-1"]),
        of("a resize of other data", &["data", "--resize", "2"]),
        of("a crop of other data", &["data/t10k-images-idx3-ubyte", "--crop", "2"]),
        of("a label for a folder", &["images", "--label", "1"]),
        of("a label for other data", &["data", "--label", "1"]),
        of("a class of images without labels", &["images/above/1.png", "--class", "1"]),
        of("an image with a label that is none", &["images/above/1.png", "--label", "cat"]),
        of("an image with a label too large", &["images/above/1.png", "--label", "65536"]),
        of("an image with a label outside the classes", &["images/above/1.png", "--label", "2"]),
        of("an image that does not exist", &["none.png", "--label", "1"]),
        of("an image that is text", &["text.png", "--label", "1"]),
        of("an empty image", &["empty.jpg", "--label", "1"]),
        of("a PNG cut short", &["cut.png", "--label", "1"]),
        of("a JPEG cut short", &["cut.jpg", "--label", "1"]),
        of("a transparent PNG", &["transparent.png", "--label", "1"]),
        of("an image too large for the model", &["large.png", "--label", "1"]),
        of(
            "an image in colour for a grey model",
            &["colour.png", "--resize", "2", "--crop", "2", "--label", "1"],
        ),
        of("a folder named like an image", &["folder.png", "--label", "1"]),
    ];
    insta::assert_snapshot!(sentences(root, &cases));
}

#[test]
fn of_evidence() {
    let folder = place();
    let root = folder.path();
    let run = |flags: &[&'static str]| {
        let output = rscert(root, &certify(&[&["--seed", "1"], flags].concat())).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["--out", "run.jsonl"]);
    run(&["--out", "alpha.jsonl", "--alpha", "0.01"]);
    run(&["--out", "images.jsonl", "--data", "images"]);
    run(&["--out", "one.jsonl", "--max", "1"]);
    run(&["--out", "labelled.jsonl", "--data", "images/below/1.png", "--label", "1"]);
    run(&["--out", "unlabelled.jsonl", "--data", "images/below/1.png"]);
    put(root, "commas.csv", b"idx,label,predict,radius\n0,1,1,0.5\n");
    let whole = fs::read_to_string(root.join("run.jsonl")).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let write = |name: &str, lines: &[&str]| put(root, name, lines.concat().as_bytes());
    write("unfinished.jsonl", &lines[..2]);
    write("headless.jsonl", &lines[1..]);
    write("headers.jsonl", &[lines[0], lines[0]]);
    write("after.jsonl", &[&whole, lines[1]]);
    write("missing.jsonl", &[lines[0], lines[1], lines[4]]);
    write("swapped.jsonl", &[lines[0], lines[2], lines[1], lines[3], lines[4]]);
    write("digit.jsonl", &[&whole.replacen("\"samples\":100", "\"samples\":101", 1)]);
    write("field.jsonl", &[&whole.replacen("\"samples\":100,", "", 1)]);
    write("schema.jsonl", &[&whole.replacen("mithridate-evidence/4", "mithridate-evidence/999", 1)]);
    write("sigma.jsonl", &[&whole.replacen("\"sigma\":0.25", "\"sigma\":-1", 1)]);
    write("text.jsonl", &["some text\n"]);
    write("json.jsonl", &["{}\n"]);
    put(root, "empty.jsonl", b"");
    put(root, "binary.jsonl", &[0xff, 0xfe, 0, 1]);
    let audit = |what, run: &'static str| (what, vec!["audit", run]);
    let resume = |what, run: &'static str, flags: &[&'static str]| {
        (what, certify(&[&["--resume", "--out", run], flags].concat()))
    };
    let cases = [
        audit("an empty file", "empty.jsonl"),
        audit("a folder", "data"),
        audit("bytes that are no text", "binary.jsonl"),
        audit("text", "text.jsonl"),
        audit("other JSON", "json.jsonl"),
        audit("no header", "headless.jsonl"),
        audit("two headers", "headers.jsonl"),
        audit("another version", "schema.jsonl"),
        audit("a sigma that is none", "sigma.jsonl"),
        audit("an unfinished run", "unfinished.jsonl"),
        audit("a line after the footer", "after.jsonl"),
        audit("a missing field", "field.jsonl"),
        ("runs at different alpha", vec!["audit", "run.jsonl", "alpha.jsonl"]),
        ("a baseline of other data", vec!["audit", "run.jsonl", "--baseline", "images.jsonl"]),
        (
            "a baseline of the same image with a label",
            vec!["audit", "unlabelled.jsonl", "--baseline", "labelled.jsonl"],
        ),
        audit("a table with commas", "commas.csv"),
        ("a baseline with one input", vec!["audit", "run.jsonl", "--baseline", "one.jsonl"]),
        ("a baseline that does not exist", vec!["audit", "run.jsonl", "--baseline", "none.jsonl"]),
        ("a page in a folder that does not exist", vec!["audit", "run.jsonl", "--html", "none/a.html"]),
        ("a page that is a folder", vec!["audit", "run.jsonl", "--html", "data"]),
        ("an infinite radius", vec!["audit", "run.jsonl", "--radii", "inf"]),
        resume("resuming with another sigma", "unfinished.jsonl", &["--sigma", "0.5"]),
        resume("resuming with another n", "unfinished.jsonl", &["--n", "200"]),
        resume("resuming with other data", "unfinished.jsonl", &["--data", "images"]),
        resume("resuming with another seed", "unfinished.jsonl", &["--seed", "2"]),
        resume("resuming text", "text.jsonl", &[]),
        resume("resuming bytes that are no text", "binary.jsonl", &[]),
        resume("resuming a folder", "data", &[]),
    ];
    insta::assert_snapshot!(sentences(root, &cases));
    for (changed, line, what) in [
        ("missing.jsonl", "3", "the header declares 3"),
        ("swapped.jsonl", "2", "its chain value is"),
        ("digit.jsonl", "2", "its chain value is"),
    ] {
        let output = rscert(root, &["audit", changed]).output().unwrap();
        let text = sentence(root, changed, &output);
        let expected = format!("line {line} of {changed} is not valid evidence: ");
        assert!(text.contains(&expected) && text.contains(what), "{text}");
    }
    assert_eq!(fs::read_to_string(root.join("text.jsonl")).unwrap(), "some text\n");
}

#[test]
fn of_models() {
    let folder = place();
    let root = folder.path();
    let whole = fs::read(root.join("model.onnx")).unwrap();
    put(root, "byte.onnx", &whole[..1]);
    put(root, "most.onnx", &whole[..whole.len() - 1]);
    put(root, "twice.onnx", &[whole.as_slice(), &[0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f]].concat());
    put(root, "zeros.onnx", &[0; 4096]);
    put(root, "image.onnx", &png(2, 2, &[0; 4]));
    let sigma = |sigma| ModelMetadata { training_sigma: Some(sigma), ..ModelMetadata::default() };
    mithridate_onnx::write(&model(&sigma(-1.0)), root.join("sigma.onnx")).unwrap();
    let mut broken = model(&sigma(0.25));
    broken.metadata_props[0].value = Some("a\nlot".into());
    mithridate_onnx::write(&broken, root.join("metadata.onnx")).unwrap();
    broken.metadata_props.clear();
    broken.opset_import.clear();
    mithridate_onnx::write(&broken, root.join("opset.onnx")).unwrap();
    let of = |what, model: &'static str| (what, certify(&["--model", model]));
    let without_sigma = |model: &'static str| vec!["certify", "--data", "data", "--model", model];
    let cases = [
        of("one byte", "byte.onnx"),
        of("all but one byte", "most.onnx"),
        of("a second graph that is cut short", "twice.onnx"),
        of("zeros", "zeros.onnx"),
        of("an image", "image.onnx"),
        of("data", "data/t10k-images-idx3-ubyte"),
        of("no operator set", "opset.onnx"),
        of("metadata that can't be read", "metadata.onnx"),
        of("a device", "/dev/null"),
        ("a training sigma that is none", without_sigma("sigma.onnx")),
        ("no sigma at all", without_sigma("model.onnx")),
        ("inspecting a folder", vec!["inspect", "data"]),
        ("inspecting a model cut short", vec!["inspect", "most.onnx"]),
        ("measuring a model cut short", vec!["bench", "--model", "most.onnx"]),
    ];
    insta::assert_snapshot!(sentences(root, &cases));
}

#[test]
fn of_flags_and_places() {
    let folder = place();
    let root = folder.path();
    put(root, "file", b"");
    let of = |what, flags: &[&'static str]| (what, certify(flags));
    let cases = [
        of("a negative seed", &["--seed", "-1"]),
        of("a seed too large", &["--seed", "18446744073709551616"]),
        of("a class too large", &["--class", "99999999999999999999"]),
        of("an empty class", &["--class", ""]),
        of("a class without images", &["--data", "images/below/1.png", "--label", "1", "--class", "0"]),
        of("a split that is none", &["--split", "val"]),
        of("too many threads", &["--threads", "100000"]),
        of("a negative number of threads", &["--threads", "-1"]),
        of("a negative batch", &["--batch", "-1"]),
        of("a negative number of inputs", &["--max", "-1"]),
        of("a negative class", &["--class", "-1"]),
        of("a negative part", &["--shard", "-1/2"]),
        ("a negative radius", vec!["audit", "run.jsonl", "--radii", "-1"]),
        of("a batch beyond reason", &["--batch", "1000000000000"]),
        of("an n with a fraction", &["--n", "1.5"]),
        of("an alpha that is text", &["--alpha", "small"]),
        of("a sigma too large", &["--sigma", "1e9"]),
        of("a device number that is none", &["--provider", "cuda:x"]),
        of("a flag without its value", &["--seed"]),
        of("a flag given twice", &["--seed", "1", "--seed", "2"]),
        of("an output that is a folder", &["--out", "data"]),
        of("an output with an empty name", &["--out", ""]),
        of("an output in a file", &["--out", "file/out.jsonl"]),
        of("an output in a folder that does not exist", &["--out", "no such/größe.jsonl"]),
        ("no arguments", vec!["certify"]),
        ("a shell that is none", vec!["completions", "dos"]),
        ("no seconds", vec!["bench", "--model", "model.onnx", "--seconds", "0"]),
    ];
    insta::assert_snapshot!(sentences(root, &cases));
    assert!(!root.join("out.jsonl").exists(), "an error leaves no evidence");
}

#[test]
fn names_may_hold_spaces_and_any_letters() {
    let folder = place();
    let root = folder.path();
    fs::rename(root.join("model.onnx"), root.join("mein Modell ü.onnx")).unwrap();
    fs::rename(root.join("images"), root.join("日本 <b>")).unwrap();
    let flags = ["--model", "./mein Modell ü.onnx", "--data", "日本 <b>", "--out", "a b/é.jsonl"];
    fs::create_dir(root.join("a b")).unwrap();
    let output = rscert(root, &certify(&flags)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = rscert(root, &["audit", "a b/é.jsonl", "--html", "a b/ö.html"]).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("mein Modell ü.onnx"));
    assert!(root.join("a b/ö.html").is_file());
}

#[cfg(unix)]
#[test]
fn names_of_files_and_classes_run_nowhere() {
    let folder = place();
    let root = folder.path();
    let (model, run) = ("<script>alert('m')<x>.onnx", "<img src=x onerror=alert(1)>.jsonl");
    fs::rename(root.join("model.onnx"), root.join(model)).unwrap();
    fs::rename(root.join("images/above"), root.join("images/<script>alert(\"c\")<x>")).unwrap();
    fs::rename(root.join("images/below"), root.join("images/\u{1b}[2Jx\u{202e}")).unwrap();
    let output =
        rscert(root, &certify(&["--model", model, "--data", "images", "--out", run])).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let arguments = ["audit", run, "--baseline", run, "--html", "audit.html"];
    let output = rscert(root, &arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = fs::read_to_string(root.join("audit.html")).unwrap();
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("\"c\""), "{page}");
    for escaped in [
        "&#60;script&#62;alert(&#39;m&#39;)&#60;x&#62;.onnx",
        "&#60;script&#62;alert(&#34;c&#34;)",
        "&#60;img src=x onerror=alert(1)&#62;",
    ] {
        assert!(page.contains(escaped), "{escaped}: {page}");
    }
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\u{1b}') && text.contains("\\u{1b}[2Jx\\u{202e}"), "{text}");
    let output = rscert(root, &["inspect", model]).output().unwrap();
    assert!(output.status.success());
}

#[cfg(unix)]
#[test]
fn names_that_are_no_unicode_are_shown_as_far_as_they_can_be() {
    use std::os::unix::ffi::OsStrExt;

    let folder = place();
    let root = folder.path();
    let name = std::ffi::OsStr::from_bytes(b"class \xff");
    let mut command = rscert(root, &certify(&[]));
    command.args([std::ffi::OsStr::new("--class"), name]);
    let text = sentence(root, "a class", &command.output().unwrap());
    assert!(text.starts_with("2: error: invalid"), "{text}");
    fs::create_dir(root.join("images").join(name)).unwrap();
    let output = rscert(root, &certify(&["--data", "images"])).output().unwrap();
    let text = sentence(root, "a folder of a class", &output);
    assert!(text.ends_with("has a name that is not Unicode; rename it"), "{text}");
}

#[cfg(unix)]
#[test]
fn what_may_not_be_read_or_written_is_named() {
    use std::os::unix::fs::PermissionsExt;

    let folder = place();
    let root = folder.path();
    put(root, "closed.onnx", b"");
    fs::set_permissions(root.join("closed.onnx"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::create_dir(root.join("closed")).unwrap();
    fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o555)).unwrap();
    if fs::read(root.join("closed.onnx")).is_ok() {
        println!("skipped: this user may read and write everything");
        return;
    }
    for flags in [["--model", "closed.onnx"], ["--out", "closed/out.jsonl"], ["--data", "closed.onnx"]] {
        let output = rscert(root, &certify(&flags)).output().unwrap();
        let text = sentence(root, flags[1], &output);
        assert!(text.starts_with("1: rscert: cannot"), "{text}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_under_the_results_is_an_error() {
    let folder = place();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = rscert(folder.path(), &["inspect", "model.onnx"]).stdout(full).output().unwrap();
    let text = sentence(folder.path(), "a full disk", &output);
    assert!(text.starts_with("1: rscert: No space left on device"), "{text}");
}
