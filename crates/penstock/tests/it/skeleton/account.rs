//! The account and the dead letters, from the command line.

use std::process::Output;

use crate::served::{Served, penstock, text, until};

fn run(served: &Served, arguments: &[&str]) -> Output {
    penstock(&[arguments, &["--server", &served.http]].concat())
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

#[test]
fn an_account_that_does_not_balance_is_told_with_an_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let verified = run(&served, &["ledger", "verify"]);
    assert_eq!(code(&verified), Some(0), "{}", text(&verified.stderr));
    assert!(text(&verified.stdout).contains("stored + late - corrected = readings in telemetry + removed"));
    assert!(verified.stderr.is_empty());

    // A reading that came in and went nowhere: what no bug of ours shall ever write.
    let store = rusqlite::Connection::open(dir.path().join("data/series/manifest.db")).unwrap();
    store
        .execute("INSERT INTO account VALUES ('default', 'a, b', 60000000000, 0, 5, 4, 0, 0, 0, 0, 4)", [])
        .unwrap();
    for arguments in
        [&["ledger", "verify"][..], &["ledger"], &["ledger", "--by", "total", "--format", "json"]]
    {
        let unbalanced = run(&served, arguments);
        assert_eq!(code(&unbalanced), Some(1), "{arguments:?}: {}", text(&unbalanced.stderr));
        let said = text(&unbalanced.stderr);
        assert!(said.contains("a, b in the minute 1970-01-01T00:01:00Z: 5 accepted, but 4 stored"), "{said}");
    }
    let csv = run(&served, &["ledger", "--format", "csv", "--by", "topic", "--until", "1970-01-02"]);
    let lines = "topic,records,accepted,stored,duplicate,corrected,dead_lettered,late,shed,residue\r\n\"a, b\",0,5,4,0,4,0,0,0,1\n";
    assert_eq!(text(&csv.stdout), lines);
    let later = run(&served, &["ledger", "--since", "1970-01-02"]);
    assert_eq!(code(&later), Some(0), "that minute is not asked for: {}", text(&later.stderr));
    assert!(text(&later.stdout).contains("total"), "{}", text(&later.stdout));
    assert_eq!(code(&run(&served, &["ledger", "--since", "yesterday"])), Some(2));
    let metrics = served.curl(&[], "/metrics");
    assert!(metrics.contains("\npenstock_ledger_residue 1\n"), "{metrics}");
}

#[test]
fn a_dead_letter_is_listed_shown_mended_and_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    // MQTT 3.1.1 cannot say no, HTTP does: both leave the message in the table.
    let bad = r#"[{"device_id":"d1","metric":"m","value":1,"ts":1700000000},{"device_id":"d1","metric":"m","value":}]"#;
    let answer = served.curl(&["-d", bad], "/v1/telemetry");
    assert!(answer.ends_with("\n422"), "{answer}");
    let id = until("the dead letter is listed", || {
        let csv =
            text(&run(&served, &["dlq", "list", "--format", "csv", "--where", "stage <> 'log'"]).stdout);
        csv.lines().nth(1).map(|line| line.split(',').next().unwrap().to_owned())
    });
    let listed = text(&run(&served, &["dlq", "list"]).stdout);
    assert!(listed.contains(&id) && listed.contains("reason"), "{listed}");
    let shown = run(&served, &["dlq", "show", &id]);
    assert_eq!((code(&shown), text(&shown.stdout)), (Some(0), bad.to_owned()));
    assert!(text(&shown.stderr).contains("tried 1 times"), "{}", text(&shown.stderr));
    let json = text(&run(&served, &["dlq", "show", &id, "--json"]).stdout);
    assert!(json.contains("\"payload_encoding\":\"utf-8\""), "{json}");

    let mended = dir.path().join("mended.json");
    std::fs::write(&mended, bad.replace(":}", ":2,\"ts\":1700000001}")).unwrap();
    let mended = mended.to_str().unwrap();
    let condition = format!("id = '{id}'");
    let replayed = run(&served, &["dlq", "replay", "--where", &condition, "--payload", mended]);
    assert_eq!(
        (code(&replayed), text(&replayed.stdout)),
        (Some(0), "1\n".to_owned()),
        "{}",
        text(&replayed.stderr)
    );
    assert_eq!(served.eventually("SELECT value FROM telemetry WHERE value = 2"), "2");
    assert_eq!(served.query(&["--format", "csv", "SELECT count(*) AS n FROM telemetry"]), "n\r\n2\n");
    // It has left the table, the account has moved with it, and trying again finds nothing.
    until("the dead letter is gone", || {
        (code(&run(&served, &["dlq", "show", &id])) == Some(1)).then_some(())
    });
    let again = run(&served, &["dlq", "replay", "--where", &condition]);
    assert_eq!((code(&again), text(&again.stdout)), (Some(0), "0\n".to_owned()));
    let ledger =
        "SELECT sum(accepted) AS accepted, sum(stored) AS stored, sum(dead_lettered) AS dead FROM ledger";
    assert_eq!(served.query(&["--format", "csv", ledger]), "accepted,stored,dead\r\n2,2,0\n");
    let verified = run(&served, &["ledger", "verify"]);
    assert_eq!(code(&verified), Some(0), "{}{}", text(&verified.stdout), text(&verified.stderr));

    for (arguments, expected, words) in [
        (&["dlq", "replay", "--where", "id = 'none'", "--payload", mended][..], 2, "holds for none"),
        (&["dlq", "list", "--where", "no_column = 1"], 2, "no_column"),
        (&["dlq", "list", "--where", "true) UNION SELECT * FROM main.device WHERE (true"], 2, "not found"),
        (&["dlq", "show", "0-live-0-99999"], 1, "no dead message"),
        (&["dlq", "replay", "--payload", "/nowhere/at-all"], 1, "cannot be read"),
    ] {
        let output = run(&served, arguments);
        let said = text(&output.stderr);
        assert_eq!(code(&output), Some(expected), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

#[test]
fn the_account_balances_over_duplicates_corrections_replays_and_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    for round in 0..3 {
        for device in 0..4 {
            // Each round sends the readings of the one before again, corrects one, and has one that is no reading.
            let readings: Vec<_> = (0..=round)
                .map(|second| {
                    let value = if second == 0 { round } else { second };
                    format!(
                        r#"{{"device_id":"d{device}","metric":"m","value":{value},"ts":{}}}"#,
                        1_700_000_000 + second
                    )
                })
                .collect();
            let body = format!("[{},{{\"device_id\":\"d{device}\",\"metric\":\"m\"}}]", readings.join(","));
            let answer = served.curl(&["-d", &body], "/v1/telemetry");
            assert!(answer.ends_with("\n200"), "{answer}");
        }
        if round == 1 {
            served.kill();
            served = Served::start(dir.path());
        }
    }
    let expected = "accepted,stored,duplicate,corrected,dead\r\n36,20,4,8,12\n";
    let ledger = "SELECT sum(accepted) AS accepted, sum(stored) AS stored, sum(duplicate) AS duplicate, \
                  sum(corrected) AS corrected, sum(dead_lettered) AS dead FROM ledger";
    until("the store has all of it", || {
        (served.query(&["--format", "csv", ledger]) == expected).then_some(())
    });
    let verified = run(&served, &["ledger", "verify"]);
    assert_eq!(code(&verified), Some(0), "{}{}", text(&verified.stdout), text(&verified.stderr));
    // They fail again: one attempt more each, and nothing else moves, however often it is done.
    for attempts in [2, 3] {
        let replayed = run(&served, &["dlq", "replay"]);
        assert_eq!((code(&replayed), text(&replayed.stdout)), (Some(0), "12\n".to_owned()));
        let tried = format!("SELECT count(*) AS n FROM dlq WHERE attempts = {attempts}");
        until("they were tried again", || {
            (served.query(&["--format", "csv", &tried]) == "n\r\n12\n").then_some(())
        });
        assert_eq!(served.query(&["--format", "csv", ledger]), expected);
        let verified = run(&served, &["ledger", "verify"]);
        assert_eq!(code(&verified), Some(0), "{}{}", text(&verified.stdout), text(&verified.stderr));
    }
}
