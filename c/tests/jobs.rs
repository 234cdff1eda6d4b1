//! Jobs from C, and one fault as each interface names it.

#![allow(clippy::unwrap_used, unsafe_code)]

use std::{
    env,
    ffi::{CStr, CString, c_char, c_void},
    fmt::Write,
    path::Path,
    ptr,
};

use mithridate::{
    Observer, Options, Status, mithridate_default_options, mithridate_free_text, mithridate_last_error,
    mithridate_load, mithridate_run_job,
};
use mithridate_runtime::{
    jobs::{Certify, Control, DataSettings, ModelSettings, in_full},
    units::Sigma,
};
use mithridate_testkit::{place::Place, program::Program};
use serde_json::{Value, json};

fn string(pointer: *const c_char) -> String {
    // SAFETY: the interface's strings end with a zero byte and are valid here.
    unsafe { CStr::from_ptr(pointer) }.to_str().unwrap().to_owned()
}

/// Runs a job and returns its document, or the status and the sentence.
fn run(job: &str, settings: &Value, observer: Option<&Observer>) -> Result<Value, (Status, String)> {
    let (job, settings) = (CString::new(job).unwrap(), CString::new(settings.to_string()).unwrap());
    let mut document = ptr::dangling_mut();
    let observer = observer.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: strings of this function, an observer of this test or null, the address of a pointer.
    let status = unsafe { mithridate_run_job(job.as_ptr(), settings.as_ptr(), observer, &raw mut document) };
    if status != Status::Ok {
        assert!(document.is_null());
        return Err((status, string(mithridate_last_error())));
    }
    let text = string(document);
    // SAFETY: it comes from the call above.
    unsafe { mithridate_free_text(document) };
    Ok(serde_json::from_str(&text).unwrap())
}

/// What an observer heard, and after which number of steps it stops the job.
#[derive(Default)]
struct Heard {
    notes: Vec<String>,
    titles: Vec<String>,
    done: u64,
    steps: u64,
    stop_at: Option<u64>,
}

unsafe extern "C" fn note(context: *mut c_void, sentence: *const c_char) {
    // SAFETY: the context is that of `observer`, and one call is made at a time.
    unsafe { &mut *context.cast::<Heard>() }.notes.push(string(sentence));
}

unsafe extern "C" fn progress(context: *mut c_void, title: *const c_char, done: u64, steps: u64) -> bool {
    // SAFETY: as above.
    let heard = unsafe { &mut *context.cast::<Heard>() };
    let title = string(title);
    if heard.titles.last() != Some(&title) {
        heard.titles.push(title);
    }
    (heard.done, heard.steps) = (done, steps);
    heard.stop_at.is_none_or(|stop| done < stop)
}

fn observer(heard: &mut Heard) -> Observer {
    Observer { context: ptr::from_mut(heard).cast(), note: Some(note), progress: Some(progress) }
}

/// Settings of a certification in a place, with others besides.
fn certification(place: &Place, out: &str, more: &Value) -> Value {
    let mut settings = json!({
        "model": place.path("model.onnx"),
        "data": place.path("data"),
        "sigma": 0.25,
        "seed": 7,
        "n": 2000,
        "batch": 64,
        "threads": 1,
        "out": place.path(out),
    });
    let members = settings.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    settings
}

#[test]
fn a_changed_model_is_recertified_and_both_runs_are_verified() {
    let place = Place::new();
    let mut heard = Heard::default();
    let observer = observer(&mut heard);
    let settings = certification(&place, "before.jsonl", &json!({"keep_votes": true}));
    let certified = run("certify", &settings, Some(&observer)).unwrap();
    assert_eq!((heard.done, heard.steps), (12 * 2100, 12 * 2100));
    assert_eq!(heard.titles, ["certifying model.onnx"]);
    assert_eq!(certified["run"]["inputs"], 12, "{certified:#}");

    // The program gives the same result for the same seed.
    let command = place.certify("again.jsonl", &["--n", "2000", "--keep-votes"]);
    let again = run("verify", &json!({"run": command}), None).unwrap();
    let before = run("verify", &json!({"run": place.path("before.jsonl")}), None).unwrap();
    assert_eq!(again["chain"], before["chain"]);

    let recertified = run(
        "recertify",
        &json!({
            "from": place.path("before.jsonl"),
            "model": place.path("model.onnx"),
            "data": place.path("data"),
            "n": 500,
            "out": place.path("after.jsonl"),
        }),
        None,
    )
    .unwrap();
    assert_eq!(recertified["share_of_votes_changed"], 0.0, "{recertified:#}");
    let settings = json!({
        "run": place.path("after.jsonl"),
        "from": place.path("before.jsonl"),
        "model": place.path("model.onnx"),
        "data": place.path("data"),
        "replay": "all",
    });
    let verified = run("verify", &settings, None).unwrap();
    assert_eq!((&verified["holds"], &verified["inputs"]), (&json!(true), &json!(12)), "{verified:#}");
    assert_eq!(verified["replays"].as_array().unwrap().len(), 12);
}

#[test]
fn the_other_jobs_run_by_their_names() {
    let place = Place::new();
    for (shard, out) in [("1/2", "1.jsonl"), ("2/2", "2.jsonl")] {
        run("certify", &certification(&place, out, &json!({"shard": shard})), None).unwrap();
    }
    let parts = json!({
        "parts": [place.path("1.jsonl"), place.path("2.jsonl")],
        "out": place.path("run.jsonl"),
    });
    assert_eq!(run("merge", &parts, None).unwrap()["inputs"], 12);
    let audit = json!({
        "runs": [place.path("run.jsonl")],
        "radii": [0.1],
        "html": place.path("audit.html"),
    });
    assert_eq!(run("audit", &audit, None).unwrap()["radii"], json!([0.1]));
    assert!(place.path("audit.html").exists());
    let inspected = run("inspect", &json!({"model": place.path("model.onnx")}), None).unwrap();
    assert_eq!(inspected["classes"], 2, "{inspected:#}");
    let keys = run("keygen", &json!({"out": place.path("auditor")}), None).unwrap();
    let signed =
        run("sign", &json!({"run": place.path("run.jsonl"), "key": place.path("auditor.key")}), None)
            .unwrap();
    assert_eq!((&signed["key"], &signed["signatures"]), (&keys["key"], &json!(1)));
    let verify = json!({"run": place.path("run.jsonl"), "key": place.path("auditor.pub")});
    assert_eq!(run("verify", &verify, None).unwrap()["holds"], true);
    let predict = json!({
        "model": place.path("model.onnx"),
        "data": place.path("data"),
        "sigma": 0.25,
        "n": 100,
        "max": 3,
    });
    assert_eq!(run("predict", &predict, None).unwrap()["predictions"].as_array().unwrap().len(), 3);
}

#[test]
fn an_observer_stops_a_job_that_another_call_resumes() {
    let place = Place::new();
    let mut heard = Heard { stop_at: Some(5000), ..Heard::default() };
    let observer = observer(&mut heard);
    let settings = certification(&place, "run.jsonl", &json!({}));
    let (status, sentence) = run("certify", &settings, Some(&observer)).unwrap_err();
    assert_eq!((status, &*sentence), (Status::Stopped, "the run was stopped before its end"));
    heard.stop_at = None;
    let settings = certification(&place, "run.jsonl", &json!({"resume": true}));
    let whole = run("certify", &settings, None).unwrap();
    assert_eq!(whole["run"]["inputs"], 12, "{whole:#}");
    assert!(whole["timings"]["samples"].as_u64().unwrap() < 12 * 2100);
}

#[test]
fn what_can_t_be_used_is_refused() {
    let place = Place::new();
    let model = place.path("model.onnx");
    for (job, settings, status, sentence) in [
        (
            "certfy",
            json!({}),
            Status::InvalidArgument,
            "'certfy' is not a job; the jobs are audit, bench, certify, inspect, keygen, merge, predict, recertify, sign, \
             verify",
        ),
        (
            "verify",
            json!([]),
            Status::InvalidArgument,
            "the settings are not a JSON object; write them as {\"name\": value, …}",
        ),
        ("verify", json!({}), Status::InvalidArgument, "`run` is missing"),
        ("inspect", json!({"modle": model}), Status::InvalidArgument, "`model` is missing"),
        (
            "inspect",
            json!({"model": model, "rnage": [0, 1]}),
            Status::InvalidArgument,
            "'rnage' is not a setting of inspect; its settings are layout, mean, model, output, range, std",
        ),
        (
            "inspect",
            json!({"model": model, "range": [1, 0]}),
            Status::InvalidArgument,
            "`range` is 1,0; it must be the values of black and white, such as 0,255 or -1,1",
        ),
        (
            "certify",
            certification(&place, "run.jsonl", &json!({"alpha": 2})),
            Status::InvalidArgument,
            "`alpha` is 2: alpha must lie strictly between 0 and 1",
        ),
        (
            "certify",
            certification(&place, "run.jsonl", &json!({"threads": 0})),
            Status::InvalidArgument,
            "`threads` is 0: invalid value: integer `0`, expected a nonzero usize",
        ),
        (
            "certify",
            certification(&place, "run.jsonl", &json!({"challenge": "a public text"})),
            Status::InvalidArgument,
            "give `seed` or `challenge`, not both",
        ),
        ("verify", json!({"run": place.path("none.jsonl")}), Status::FileFailed, "cannot read"),
        ("inspect", json!({"model": place.path("data")}), Status::LoadFailed, "cannot read the model"),
    ] {
        let (found, said) = run(job, &settings, None).unwrap_err();
        assert!(said.starts_with(sentence), "{job} {settings}: {said}");
        assert_eq!(found, status, "{said}");
    }
    // SAFETY: null pointers are what is tested.
    let status = unsafe { mithridate_run_job(ptr::null(), ptr::null(), ptr::null(), ptr::null_mut()) };
    assert_eq!(status, Status::InvalidArgument);
    assert_eq!(string(mithridate_last_error()), "job is null; name a sub-command of rscert");
    // SAFETY: as above.
    unsafe { mithridate_free_text(ptr::null_mut()) };
}

/// A fault as Rust, the command line, a job of C and the options of C name it.
fn as_each_names_it(model: &Path, sigma: Option<f64>, n: u64, folder: &Path) -> String {
    let mut job = Certify::new(ModelSettings::new(model), DataSettings::new("data"), "run.jsonl");
    (job.sigma, job.n) = (sigma.map(|sigma| Sigma::new(sigma).unwrap()), n);
    let in_rust = in_full(&job.run(&Control::default()).err().unwrap());

    let sigmas = sigma.map(|sigma| format!("--sigma={sigma}"));
    let mut arguments = vec!["certify", "--data", "data", "--model", model.to_str().unwrap()];
    let count = format!("--n={n}");
    arguments.extend(sigmas.as_deref());
    arguments.push(&count);
    let program = Program::built("rscert").command(folder, &arguments).output().unwrap();
    let on_the_command_line = String::from_utf8(program.stderr).unwrap();

    let settings = json!({"model": model, "data": "data", "out": "run.jsonl", "sigma": sigma, "n": n});
    let (_, by_job) = run("certify", &settings, None).unwrap_err();

    let path = CString::new(model.to_str().unwrap()).unwrap();
    let options =
        Options { sigma: sigma.unwrap_or(0.0), max_samples: n, ..mithridate_default_options(path.as_ptr()) };
    let mut certifier = ptr::null_mut();
    // SAFETY: options and pointer of this function.
    assert_ne!(unsafe { mithridate_load(&raw const options, &raw mut certifier) }, Status::Ok);
    let by_options = string(mithridate_last_error());

    let mut text = String::new();
    for (interface, said) in [
        ("Rust", in_rust),
        ("command line", on_the_command_line.trim_end().into()),
        ("job of C", by_job),
        ("options of C", by_options),
    ] {
        writeln!(text, "{interface}: {said}").unwrap();
    }
    text
}

#[test]
fn one_fault_is_one_sentence_with_the_names_of_each_interface() {
    let place = Place::new();
    // The one test of this process that needs names without a folder.
    env::set_current_dir(place.root()).unwrap();
    let mut text = String::new();
    for (model, sigma, n) in
        [("model.onnx", None, 10), ("model.onnx", Some(0.25), u64::MAX), ("none.onnx", None, 10)]
    {
        text += &as_each_names_it(Path::new(model), sigma, n, place.root());
        text.push('\n');
    }
    insta::assert_snapshot!(text);
}
