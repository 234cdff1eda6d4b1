//! Keys, signatures and what they are over, through the program and another implementation.

use std::fs;

use base64::{Engine, engine::general_purpose::STANDARD};
use mithridate_testkit::place::{Place, png, put};
use serde_json::Value;

use super::{done, python, text_of};

/// A place with a signed run and two pairs of keys.
fn signed() -> Place {
    let place = Place::new();
    place.certify("run.jsonl", &["--n", "200"]);
    for name in ["auditor", "other"] {
        done(&place, &["keygen", "--out", name]);
    }
    done(&place, &["sign", "run.jsonl", "--key", "auditor.key"]);
    place
}

fn envelope(place: &Place, name: &str) -> Value {
    serde_json::from_slice(&fs::read(place.path(name)).unwrap()).unwrap()
}

fn statement(envelope: &Value) -> Value {
    serde_json::from_slice(&STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap()).unwrap()
}

const VERIFY: [&str; 4] = ["verify", "run.jsonl", "--key", "auditor.pub"];

/// What `verify --key` says of the run, which does not hold.
fn refused(place: &Place, what: &str) {
    let (status, text, error) = text_of(&place.run(&VERIFY));
    assert_eq!(status, Some(3), "{text}{error}");
    assert!(text.contains(what), "{text}");
}

#[test]
fn a_signed_run_is_known_to_be_somebodys() {
    let place = signed();
    let text = done(&place, &VERIFY);
    let document = envelope(&place, "run.jsonl.dsse.json");
    let key_id = document["signatures"][0]["keyid"].as_str().unwrap();
    let expected =
        format!("key {key_id} signed this file, and every field of the signed statement is that of the run");
    assert!(text.contains(&expected) && text.contains("it was signed under the name run.jsonl"), "{text}");
    let statement = statement(&document);
    let footer: Value =
        serde_json::from_str(fs::read_to_string(place.path("run.jsonl")).unwrap().lines().last().unwrap())
            .unwrap();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["subject"][0]["name"], "run.jsonl");
    assert_eq!(statement["predicate"]["result"]["chain"], footer["chain"]);
    assert_eq!(statement["predicate"]["settings"]["seed"], 7);
    assert!(statement["predicate"]["result"]["acr"].as_f64().unwrap() > 0.0);
    // Renamed and moved it is the same file.
    fs::rename(place.path("run.jsonl"), place.path("moved.jsonl")).unwrap();
    let arguments = ["verify", "moved.jsonl", "--key", "auditor.pub", "--signature", "run.jsonl.dsse.json"];
    assert!(done(&place, &arguments).contains("it was signed under the name run.jsonl"));
    // Without a key nothing is said to be checked.
    fs::rename(place.path("moved.jsonl"), place.path("run.jsonl")).unwrap();
    let text = done(&place, &["verify", "run.jsonl"]);
    assert!(
        text.contains("- signature: who signed it: to check the signatures in run.jsonl.dsse.json, give a public key with --key"),
        "{text}"
    );
}

#[test]
fn keys_are_secret_and_written_over_nothing() {
    let place = signed();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |name: &str| fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("auditor.key"), 0o600);
        fs::set_permissions(place.path("auditor.key"), fs::Permissions::from_mode(0o644)).unwrap();
        let (status, _, error) = text_of(&place.run(&["sign", "run.jsonl", "--key", "auditor.key"]));
        assert!(
            status == Some(0)
                && error.contains("other users can read the private key auditor.key (mode 644)"),
            "{error}"
        );
        fs::set_permissions(place.path("auditor.key"), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let before = fs::read(place.path("auditor.key")).unwrap();
    fs::write(place.path("half.pub"), "mine").unwrap();
    for name in ["auditor", "half"] {
        let (status, _, error) = text_of(&place.run(&["keygen", "--out", name]));
        assert!(
            status == Some(1) && error.contains("exists, and no file is ever overwritten by a key"),
            "{error}"
        );
    }
    assert_eq!(fs::read(place.path("auditor.key")).unwrap(), before);
    assert_eq!(fs::read(place.path("half.pub")).unwrap(), b"mine");
    assert!(!place.path("half.key").exists());
    for (arguments, what) in [
        (&["keygen", "--out", "none/key"][..], "cannot write none/key.key: there is no folder none"),
        (
            &["sign", "run.jsonl", "--key", "auditor.pub"],
            "it is a public key, and a signature needs the private key",
        ),
        (&["sign", "run.jsonl", "--key", "run.jsonl"], "it is not a usable key"),
        (&["sign", "run.jsonl", "--key", "none.key"], "cannot read none.key"),
        (&["sign", "none.jsonl", "--key", "auditor.key"], "cannot read none.jsonl"),
        (&["sign", "run.jsonl", "--key", "auditor.key", "--out", "run.jsonl"], "would overwrite the run"),
        (&["sign", "run.jsonl", "--key", "auditor.key", "--out", "auditor.key"], "would overwrite the key"),
        (
            &["sign", "run.jsonl", "--key", "auditor.key", "--out", "model.onnx"],
            "it is not a valid file of signatures",
        ),
        (&["verify", "run.jsonl", "--key", "auditor.key"], "it is a private key"),
        (&["verify", "run.jsonl", "--key", "auditor.pub", "--signature", "none"], "there is no none"),
    ] {
        let (status, _, error) = text_of(&place.run(arguments));
        assert!(status == Some(1) && error.contains(what), "{arguments:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn signatures_of_several_are_kept() {
    let place = signed();
    let alone = envelope(&place, "run.jsonl.dsse.json");
    let text = done(&place, &["sign", "run.jsonl", "--key", "auditor.key"]);
    assert!(text.contains("was signed already by"), "{text}");
    assert_eq!(envelope(&place, "run.jsonl.dsse.json"), alone);
    let (status, text, _) = text_of(&place.run(&["verify", "run.jsonl", "--key", "other.pub"]));
    assert!(status == Some(3) && text.contains("it contains no signature by key"), "{text}");
    done(&place, &["sign", "run.jsonl", "--key", "other.key"]);
    let both = envelope(&place, "run.jsonl.dsse.json");
    assert_eq!(
        (both["signatures"].as_array().unwrap().len(), &both["signatures"][0]),
        (2, &alone["signatures"][0])
    );
    for key in ["auditor.pub", "other.pub"] {
        let text = done(&place, &["verify", "run.jsonl", "--key", key]);
        assert!(text.contains("- other signatures: 1 other signature in run.jsonl.dsse.json"), "{text}");
    }
    // An envelope of another run is left as it is.
    let before = fs::read(place.path("run.jsonl.dsse.json")).unwrap();
    place.certify("another.jsonl", &["--n", "300"]);
    let arguments = ["sign", "another.jsonl", "--key", "auditor.key", "--out", "run.jsonl.dsse.json"];
    let (status, _, error) = text_of(&place.run(&arguments));
    assert!(status == Some(1) && error.contains("the signed statement is not about this run"), "{error}");
    assert!(error.contains("was not changed; choose another name with --out"), "{error}");
    assert_eq!(fs::read(place.path("run.jsonl.dsse.json")).unwrap(), before);
}

#[test]
fn what_is_not_finished_or_does_not_hold_is_not_signed() {
    let place = signed();
    let text = fs::read_to_string(place.path("run.jsonl")).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    fs::write(place.path("torn.jsonl"), lines[..5].concat()).unwrap();
    fs::write(place.path("changed.jsonl"), text.replacen("\"label\":0", "\"label\":1", 1)).unwrap();
    // A better radius under good hashes.
    let evidence = mithridate_runtime::evidence::read_evidence(&place.path("run.jsonl")).unwrap();
    let mut writer =
        mithridate_runtime::evidence::EvidenceWriter::create(&place.path("better.jsonl"), &evidence.header)
            .unwrap();
    for mut record in evidence.records {
        record.radius *= 2.0;
        writer.record(&record).unwrap();
    }
    writer.finish().unwrap();
    for (run, what) in [
        ("torn.jsonl", "is not finished"),
        ("changed.jsonl", "is not valid evidence"),
        ("better.jsonl", "line 4 of better.jsonl is not valid evidence: its radius"),
        ("model.onnx", "it contains bytes that are not UTF-8 text"),
    ] {
        let (status, _, error) = text_of(&place.run(&["sign", run, "--key", "auditor.key"]));
        assert!(status == Some(1) && error.contains(what), "{run}: {error}");
        assert!(!place.path(&format!("{run}.dsse.json")).exists());
    }
}

#[test]
fn a_signature_over_something_else_is_refused() {
    let place = signed();
    let good = fs::read(place.path("run.jsonl.dsse.json")).unwrap();
    let document = envelope(&place, "run.jsonl.dsse.json");
    let put = |content: &[u8]| fs::write(place.path("run.jsonl.dsse.json"), content).unwrap();
    // Of another run, with the same key.
    place.certify("another.jsonl", &["--n", "300"]);
    done(&place, &["sign", "another.jsonl", "--key", "auditor.key"]);
    put(&fs::read(place.path("another.jsonl.dsse.json")).unwrap());
    refused(&place, "the signed statement is not about this run: predicate.");
    // The payload changed to that of this run, under the signature of another.
    let mut changed = envelope(&place, "another.jsonl.dsse.json");
    changed["payload"] = document["payload"].clone();
    put(changed.to_string().as_bytes());
    refused(&place, "is not a valid signature of this payload: the envelope or the key id was changed");
    let mut changed = document.clone();
    changed["payloadType"] = "application/json".into();
    put(changed.to_string().as_bytes());
    refused(&place, "its payload is of type 'application/json'");
    put(&good[..good.len() / 2]);
    refused(&place, "it is not a valid file of signatures");
    let twice =
        String::from_utf8(good.clone()).unwrap().replacen("\"payload\"", "\"payload\":\"\",\"payload\"", 1);
    put(twice.as_bytes());
    refused(&place, "the member 'payload' occurs twice");
    put(&[&good[..], &vec![b' '; 1 << 20]].concat());
    refused(&place, "it is larger than 1048576 bytes");
    // The same run, certified at another time: other bytes, and so another file.
    put(&good);
    done(&place, &VERIFY);
    let text = fs::read_to_string(place.path("run.jsonl")).unwrap();
    fs::remove_file(place.path("run.jsonl")).unwrap();
    place.certify("run.jsonl", &["--n", "200"]);
    assert_ne!(fs::read_to_string(place.path("run.jsonl")).unwrap(), text);
    refused(&place, "subject[0].digest.sha256");
}

#[test]
fn another_implementation_reads_and_writes_the_same() {
    let Some(python) = python("dsse/dsse.py", &["libraries"]) else { return };
    let place = signed();
    let path = |name: &str| place.path(name).to_str().unwrap().to_owned();
    let run = |arguments: &[&str]| {
        let output = python(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let payload = run(&["verify", &path("run.jsonl.dsse.json"), &path("auditor.pub")]);
    let ours = statement(&envelope(&place, "run.jsonl.dsse.json"));
    assert_eq!(serde_json::from_slice::<Value>(&payload).unwrap(), ours);
    // Written by somebody else's JSON, with spaces, signed by somebody else's library with our key.
    fs::write(place.path("payload.json"), format!("{ours:#}")).unwrap();
    run(&["sign", &path("payload.json"), &path("auditor.key"), &path("run.jsonl.dsse.json")]);
    done(&place, &VERIFY);
    // One digit of the statement other than that of the run.
    let acr = ours["predicate"]["result"]["acr"].as_f64().unwrap();
    let mut better = ours;
    better["predicate"]["result"]["acr"] = acr.next_up().into();
    fs::write(place.path("payload.json"), better.to_string()).unwrap();
    run(&["sign", &path("payload.json"), &path("auditor.key"), &path("run.jsonl.dsse.json")]);
    refused(&place, "predicate.result.acr is ");
    for (member, value) in
        [("more", Value::from(1)), ("_type", "another".into()), ("predicateType", "another".into())]
    {
        let mut changed = better.clone();
        changed["predicate"]["result"]["acr"] = acr.into();
        changed[member] = value;
        fs::write(place.path("payload.json"), changed.to_string()).unwrap();
        run(&["sign", &path("payload.json"), &path("auditor.key"), &path("run.jsonl.dsse.json")]);
        refused(&place, &format!("the signed statement is not about this run: {member} is "));
    }
}

#[test]
fn many_that_sign_at_once_lose_no_signature() {
    const SIGNERS: usize = 6;
    let place = signed();
    let names: Vec<String> = (0..SIGNERS).map(|number| format!("signer-{number}")).collect();
    for name in &names {
        done(&place, &["keygen", "--out", name]);
    }
    std::thread::scope(|scope| {
        for name in &names {
            let place = &place;
            scope.spawn(move || {
                let key = format!("{name}.key");
                // Who comes while another signs is told so, and tries again.
                for _ in 0..1000 {
                    let (status, _, error) = text_of(&place.run(&["sign", "run.jsonl", "--key", &key]));
                    if status == Some(0) {
                        return;
                    }
                    assert!(error.contains("another program is writing or signing it"), "{error}");
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                panic!("{name} never came to sign");
            });
        }
    });
    let document = envelope(&place, "run.jsonl.dsse.json");
    assert_eq!(document["signatures"].as_array().unwrap().len(), 1 + SIGNERS);
    for name in &names {
        done(&place, &["verify", "run.jsonl", "--key", &format!("{name}.pub")]);
    }
}

#[test]
fn parts_challenged_unlabelled_and_recertified_runs_are_signed_too() {
    let place = signed();
    place.certify("part.jsonl", &["--n", "200", "--shard", "1/2"]);
    place.certify("old.jsonl", &["--n", "2000", "--keep-votes"]);
    let fixed =
        ["recertify", "--from", "old.jsonl", "--model", "model.onnx", "--data", "data", "--n", "1000"];
    done(&place, &[&fixed[..], &["--threads", "1", "--out", "new.jsonl"]].concat());
    put(place.root(), "one.png", &png(2, 2, &[200, 190, 20, 10]));
    let fixed = ["certify", "--model", "model.onnx", "--data", "one.png", "--sigma", "0.25"];
    let more = ["--challenge", "beacon 5213", "--n", "200", "--threads", "1", "--out", "unknown.jsonl"];
    done(&place, &[&fixed[..], &more].concat());
    for (run, pointer, expected) in [
        ("part.jsonl", "/predicate/settings/shard", Value::from("1/2")),
        ("new.jsonl", "/predicate/settings/recertification/replayed", 1000.into()),
        ("unknown.jsonl", "/predicate/settings/challenge", "beacon 5213".into()),
        ("unknown.jsonl", "/predicate/result/acr", Value::Null),
    ] {
        done(&place, &["sign", run, "--key", "auditor.key"]);
        done(&place, &["verify", run, "--key", "auditor.pub"]);
        assert_eq!(
            statement(&envelope(&place, &format!("{run}.dsse.json"))).pointer(pointer),
            Some(&expected),
            "{run}"
        );
    }
}
