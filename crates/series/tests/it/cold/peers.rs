//! The same over HTTP, with peers that speak S3 (Moto) and Azure's interface (Azurite), of the test dependencies
//! (scripts/install-test-deps.sh).

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use penstock_series::parquet::store::Options;
use penstock_series::parquet::store::restore::{Restoring, restore};
use penstock_series::{Error, Parquet, SeriesRemove};
use record::{DeviceId, Reading, TenantId};

use super::life::{add, count};
use super::{Place, late, move_all};
use crate::parquet::rows::Random;
use crate::parquet::store::simple;

const S3: &str = "
import boto3, sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
server.start()
address = 'http://%s:%s' % server.get_host_and_port()
boto3.client('s3', endpoint_url=address, region_name='us-east-1',
             aws_access_key_id='key', aws_secret_access_key='secret').create_bucket(Bucket='bucket')
print(address, flush=True)
sys.stdin.read()
";

const AZURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/cold/azure.js");

struct Peer {
    process: Child,
    address: String,
}

impl Peer {
    fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(address.starts_with("http://"), "the peer did not start: {address:?}");
        Self { process, address: address.trim().to_owned() }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where the test dependencies are; `None`: nowhere.
fn dependencies() -> Option<String> {
    let found = std::env::var("PENSTOCK_TEST_DEPS").ok();
    if found.is_none() {
        eprintln!("skipped: PENSTOCK_TEST_DEPS is not set");
    }
    found
}

fn retry() -> RetryConfig {
    let retry_timeout = Duration::from_secs(2);
    RetryConfig { max_retries: 1, backoff: BackoffConfig::default(), retry_timeout }
}

#[test]
fn runs_go_to_s3_and_are_read_from_there() {
    let Some(dependencies) = dependencies() else { return };
    let python = format!("{dependencies}/venv/bin/python");
    let peer = Peer::start(Command::new(python).args(["-c", S3]));
    let s3 = AmazonS3Builder::new()
        .with_endpoint(&peer.address)
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_bucket_name("bucket")
        .with_access_key_id("key")
        .with_secret_access_key("secret")
        .with_retry(retry());
    check(Arc::new(s3.build().unwrap()), peer);
}

#[test]
fn runs_go_to_azure_and_are_read_from_there() {
    if dependencies().is_none() {
        return;
    }
    let peer = Peer::start(Command::new("node").arg(AZURE));
    let azure = MicrosoftAzureBuilder::new()
        .with_endpoint(format!("{}/devstoreaccount1", peer.address))
        .with_allow_http(true)
        .with_container_name("bucket")
        .with_account("devstoreaccount1")
        .with_access_key(
            "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
        )
        .with_retry(retry());
    check(Arc::new(azure.build().unwrap()), peer);
}

fn check(inner: Arc<dyn ObjectStore>, mut peer: Peer) {
    let mut place = Place::new(Options::default(), true);
    place.inner = inner;
    let store = place.open();
    // One run that goes in one piece, and one that is larger than a part.
    let mut random = Random(3);
    let of = |device: &str, day: i64, count: i64, random: &mut Random| -> Vec<Reading> {
        let start = 1_700_006_400_000 + day * 86_400_000;
        (0..count).map(|n| simple(device, "m", start + n * 50, random.next() as i64)).collect()
    };
    add(&store, &of("d0", 0, 5000, &mut random));
    add(&store, &of("d1", 1, 1_200_000, &mut random));
    assert!(store.size_bytes() > 9 << 20, "{}", store.size_bytes());
    assert_eq!(move_all(&store, 0), 2);
    assert_eq!((place.objects().0.len(), place.objects().1.len()), (4, 1));
    // What is there is not created once more.
    let catalogue = place.objects().1.remove(0);
    assert!(!place.create(&catalogue));
    drop(store);
    let store = place.open();
    assert_eq!((store.size_bytes(), store.cold_count()), (0, 2));
    assert_eq!(count(&store, "d0").unwrap(), 5000);
    assert_eq!(count(&store, "d1").unwrap(), 1_200_000);
    let key = place.objects().0.into_iter().find(|key| key.ends_with(".parquet")).unwrap();
    let good = place.get(&key);
    place.put(&key, &good[..good.len() / 3]);
    let device = if good.len() > 1 << 20 { "d1" } else { "d0" };
    drop(store);
    let store = place.open();
    let refused = count(&store, device);
    assert!(matches!(&refused, Err(Error::Damaged { at, .. }) if at.starts_with("byte ")), "{refused:?}");
    place.put(&key, &good);
    drop(store);
    // The disk is lost.
    let disk = place.data().with_file_name("new");
    let restored = restore(&disk, &place.cold(), Options::default(), &Restoring::default(), &|_| {}).unwrap();
    assert_eq!((restored.runs, restored.readings), (2, vec![("default".to_owned(), 1_205_000)]));
    let open = || Parquet::open_with(&disk, Options::default(), Some(place.cold())).unwrap();
    let store = open();
    assert_eq!(count(&store, "d1").unwrap(), 1_200_000);
    let erase = |device: &str| {
        store.erase(&TenantId::default_tenant(), &DeviceId::parse(device).unwrap(), "asked", late(0))
    };
    assert_eq!(erase("d1").unwrap().removed.readings, 1_200_000);
    assert_eq!(place.objects().0.len(), 2);
    drop(store);
    let store = open();
    peer.end();
    let refused = count(&store, "d0");
    assert!(
        matches!(&refused, Err(Error::Database { place, .. }) if place.ends_with(".parquet")),
        "{refused:?}"
    );
}

impl Peer {
    /// Lets it end by itself, and waits for that.
    fn end(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}

impl Place {
    /// Whether an object was created that was not there.
    fn create(&self, key: &str) -> bool {
        use object_store::{ObjectStoreExt as _, PutMode, PutOptions};
        let create = PutOptions::from(PutMode::Create);
        let put = super::on_runtime(async {
            let made = self.inner.put_opts(&key.into(), "other".into(), create).await;
            (made, self.inner.head(&key.into()).await.unwrap().size)
        });
        assert_ne!(put.1, 5, "it was written over");
        match put.0 {
            Ok(_) => true,
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                false
            }
            Err(error) => panic!("{error}"),
        }
    }
}
