//! Retention by metric in the real binary, with what it removes written first.

use std::path::Path;
use std::process::Command;

use super::cold::write_a_day;
use super::restored::Peer;
use crate::exchange::python;
use crate::served::{Served, run, text, until};

#[test]
fn what_expires_is_written_where_duckdb_reads_it_and_then_removed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("data")).unwrap();
    write_a_day(dir.path(), &["car", "bus"]);
    let to = dir.path().join("expired");
    let url = format!("file://{}", to.display());
    let environment = [
        ("PENSTOCK__SERIES__RETENTION", "[{ metrics = ['sp*'], keep_days = 7 }]"),
        ("PENSTOCK__SERIES__EXPORT_BEFORE_EXPIRY__URL", &*url),
    ];
    let metric = |name: &str| format!("\npenstock_store_expired_{name}\n");
    let count = |served: &Served| served.query(&["--format", "csv", "SELECT count(*) FROM telemetry"]);
    // Where it cannot be written, because there is a file where the directory is to be, nothing is removed.
    std::fs::create_dir(&to).unwrap();
    std::fs::write(to.join("tenant=default"), b"in the way").unwrap();
    let served = Served::with(dir.path(), &environment);
    until("it was tried", || {
        served.curl(&[], "/metrics").contains(&metric("export_failures_total 1")).then_some(())
    });
    assert!(count(&served).ends_with("\n10000\n"), "nothing is removed");
    until("it is said", || {
        served.log().contains("not everything that is old could be removed").then_some(())
    });
    assert!(served.terminate().success());
    std::fs::remove_file(to.join("tenant=default")).unwrap();
    let served = Served::with(dir.path(), &environment);
    until("it is exported", || {
        served.curl(&[], "/metrics").contains(&metric("exported_rows_total 10000")).then_some(())
    });
    until("it is removed", || count(&served).ends_with("\n0\n").then_some(()));
    let page = served.curl(&[], "/metrics");
    assert!(page.contains(&metric("exported_objects_total 1")), "{page}");
    assert!(page.contains(&metric("export_failures_total 0")), "{page}");
    let removals = served.curl(&[], "/v1/removals");
    assert!(removals.contains("\"metrics\":[\"+sp*\"]") && removals.contains("10000"), "{removals}");
    drop(served);
    if let Some(python) = python() {
        assert_eq!(asked(&python, &to), "2023-11-15|bus|5000|0.0|199.0\n2023-11-15|car|5000|0.0|199.0");
    }
}

/// Moto, of the test dependencies, with a bucket.
const S3: &str = "
import boto3, sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
server.start()
address = 'http://%s:%s' % server.get_host_and_port()
boto3.client('s3', endpoint_url=address).create_bucket(Bucket='bucket')
print(address, flush=True)
sys.stdin.read()
";

/// Fetches all objects of the bucket whose keys begin so into a directory, and prints the keys of all.
const FETCH: &str = "
import boto3, os, sys
address, prefix, to = sys.argv[1:]
bucket = boto3.resource('s3', endpoint_url=address).Bucket('bucket')
for found in bucket.objects.all():
    print(found.key)
    if found.key.startswith(prefix):
        path = os.path.join(to, found.key[len(prefix):])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        bucket.download_file(found.key, path)
";

/// By the environment variables that docs/tiers.md names.
#[test]
fn what_expires_is_written_to_s3_once_it_takes_it() {
    let Some(python) = python().filter(|_| std::env::var("PENSTOCK_TEST_DEPS").is_ok()) else {
        eprintln!("skipped: PENSTOCK_TEST_DEPS is not set");
        return;
    };
    let credentials = [
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ALLOW_HTTP", "true"),
    ];
    let (_peer, address) = Peer::start(Command::new(&python).args(["-c", S3]).envs(credentials));
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("data")).unwrap();
    write_a_day(dir.path(), &["car", "bus"]);
    let environment = |url| {
        let own = [
            ("AWS_ENDPOINT", &*address),
            ("PENSTOCK__SERIES__RETENTION", "[{ metrics = ['sp*'], keep_days = 7 }]"),
            ("PENSTOCK__SERIES__EXPORT_BEFORE_EXPIRY__URL", url),
        ];
        [&own[..], &credentials].concat()
    };
    // A bucket that is not there refuses, and what was begun is noted.
    let served = Served::with(dir.path(), &environment("s3://none/expired"));
    until("it was tried", || {
        let page = served.curl(&[], "/metrics");
        (page.contains("\npenstock_store_expired_export_failures_total 1\n")
            && page.contains("\npenstock_store_retention_failures_total 1\n"))
        .then_some(())
    });
    assert!(served.terminate().success());
    let fetch = |to: &str| {
        let to = dir.path().join(to);
        let mut fetch = Command::new(&python);
        let fetched = run(fetch.args(["-c", FETCH, &address, "expired/"]).arg(&to).envs(credentials));
        (text(&fetched.stdout), to)
    };
    assert_eq!(fetch("none").0, "");
    let served = Served::with(dir.path(), &environment("s3://bucket/expired/"));
    until("it is exported and removed", || {
        let left = served.query(&["--format", "csv", "SELECT count(*) FROM telemetry"]);
        left.ends_with("\n0\n").then_some(())
    });
    assert!(served.terminate().success());
    let (keys, to) = fetch("fetched");
    assert_eq!(keys.lines().count(), 1, "{keys}");
    assert!(keys.starts_with("expired/tenant=default/table=telemetry/date=2023-11-15/"), "{keys}");
    assert_eq!(asked(&python, &to), "2023-11-15|bus|5000|0.0|199.0\n2023-11-15|car|5000|0.0|199.0");
}

fn asked(python: &str, to: &Path) -> String {
    let files = format!(
        "read_parquet('{}/tenant=default/table=telemetry/**/*.parquet', hive_partitioning = true)",
        to.display()
    );
    let sql = format!(
        "SELECT date, device_id, count(DISTINCT time), min(value), max(value) FROM {files} WHERE metric = 'speed' GROUP BY ALL ORDER BY ALL"
    );
    let program = "import duckdb, sys\nfor row in duckdb.connect().execute(sys.argv[1]).fetchall(): print('|'.join(map(str, row)))";
    text(&run(Command::new(python).args(["-c", program, &sql])).stdout).trim().to_owned()
}
