//! History under another configuration, in the real binary.

use std::process::Output;

use serde_json::Value;

use crate::served::{Served, penstock, text, until};

fn run(served: &Served, arguments: &[&str]) -> Output {
    penstock(&[arguments, &["--server", &served.http]].concat())
}

fn datasets(served: &Served) -> Value {
    let listed = run(served, &["reprocess", "list", "--format", "json"]);
    assert!(listed.status.success(), "{}", text(&listed.stderr));
    serde_json::from_str::<Value>(&text(&listed.stdout)).unwrap()["datasets"].take()
}

fn over(served: &Served, dataset: &str, statement: &str) -> Vec<String> {
    let csv = served.query(&["--format", "csv", "--dataset", dataset, statement]);
    csv.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn a_configuration_is_tried_over_history_and_asked_by_sql() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let body: String = (0..30)
        .map(|n| {
            format!("{{\"device_id\":\"d1\",\"metric\":\"m\",\"value\":{n},\"ts\":{}}}\n", 1_700_000_000 + n)
        })
        .collect();
    let sent =
        served.curl(&["--data-binary", &body, "-H", "content-type: application/x-ndjson"], "/v1/telemetry");
    assert!(sent.ends_with("\n200"), "{sent}");
    served.eventually("SELECT count(*) FROM telemetry HAVING count(*) = 30");

    let file = dir.path().join("next.toml");
    let config = "[stream]\nwindows = [\"10s\"]\n[[stream.limit]]\nmetric = \"m\"\nmax = 24.0\n";
    std::fs::write(&file, config).unwrap();
    let file = file.to_str().unwrap();
    let started = run(&served, &["reprocess", "start", "ten-seconds", "--config", file]);
    assert!(started.status.success(), "{}", text(&started.stderr));
    let done = |served: &Served| {
        until("the data set is done", || {
            let listed = datasets(served)[0].take();
            assert_ne!(listed["state"], "failed", "{listed}");
            (listed["state"] == "done").then_some(listed)
        })
    };
    let dataset = done(&served);
    assert_eq!(
        (&dataset["name"], &dataset["progress"]["done"]),
        (&"ten-seconds".into(), &dataset["progress"]["total"])
    );
    assert_eq!(
        (dataset["counts"]["stored"].as_i64(), dataset["counts"]["dead_lettered"].as_i64()),
        (Some(25), Some(5))
    );
    assert_eq!(dataset["counts"]["residue"], 0);

    let windows = "SELECT DISTINCT window FROM aggregations ORDER BY 1";
    let counts = "SELECT count FROM aggregations WHERE window = '10s' ORDER BY window_start";
    let ask = |served: &Served| {
        assert_eq!(over(served, "ten-seconds", "SELECT count(*), max(value) FROM telemetry"), ["25,24.0"]);
        assert_eq!(over(served, "ten-seconds", "SELECT count(*) FROM dlq"), ["5"]);
        assert_eq!(over(served, "ten-seconds", windows), ["10s"]);
        assert_eq!(over(served, "ten-seconds", counts), ["10", "10", "5"]);
        // The live tables know nothing of it.
        assert_eq!(
            served.query(&["--format", "csv", "SELECT count(*) FROM telemetry"]).lines().last(),
            Some("30")
        );
        assert_eq!(served.query(&["--format", "csv", "SELECT count(*) FROM dlq"]).lines().last(), Some("0"));
    };
    ask(&served);

    // What cannot be is said, with the code for it.
    let refusals = [
        (&["reprocess", "start", "ten-seconds", "--config", file][..], 1, "remove it first"),
        (&["reprocess", "start", "../x", "--config", file], 2, "cannot name a data set"),
        (&["reprocess", "start", "b", "--config", file, "--since", "yesterday"], 2, "since"),
        (&["reprocess", "remove", "nothing"], 1, "no data set \"nothing\""),
        (&["query", "--dataset", "nothing", "SELECT 1"], 1, "no data set \"nothing\""),
    ];
    for (arguments, code, words) in refusals {
        let refused = run(&served, arguments);
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}: {}", text(&refused.stderr));
        assert!(text(&refused.stderr).contains(words), "{arguments:?}: {}", text(&refused.stderr));
    }
    let wrong = dir.path().join("wrong.toml");
    std::fs::write(&wrong, "windows = [\"7\"]").unwrap();
    let refused = run(&served, &["reprocess", "start", "b", "--config", wrong.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("stream.windows"), "{}", text(&refused.stderr));

    // A data set outlives the server, and a name is free again once it is removed.
    assert_eq!(served.terminate().code(), Some(0));
    let served = Served::start(dir.path());
    assert_eq!(done(&served), dataset);
    ask(&served);
    assert!(run(&served, &["reprocess", "remove", "ten-seconds"]).status.success());
    assert_eq!(datasets(&served), serde_json::json!([]));
    assert_eq!(std::fs::read_dir(dir.path().join("data/datasets")).unwrap().count(), 0);
    let since = ["--config", file, "--since", "2020-01-01"];
    assert!(run(&served, &[&["reprocess", "start", "ten-seconds"], &since[..]].concat()).status.success());
    // Killed meanwhile or just after: it is done in the end.
    served.kill();
    let served = Served::start(dir.path());
    done(&served);
    ask(&served);
}
