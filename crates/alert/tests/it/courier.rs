//! From the outbox to receivers: at least once, with the same key, and nobody waits for the dead.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use metadata::{Memory, Metadata};
use parking_lot::Mutex;
use penstock_alert::{Address, Channels, Clock, Config, Courier, Delivery, Outcome, Publish};
use record::TenantId;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::house::{House, at, at_ms, began, id_of, tenant};
use crate::receiver::{Answer, Receiver, status};

/// A clock that runs a hundred times as fast as the wall's, so that minutes of pauses pass in seconds.
fn fast() -> Clock {
    let began = std::time::Instant::now();
    Arc::new(move || at_ms(i64::try_from(began.elapsed().as_millis()).unwrap() * 100))
}

fn config() -> Config {
    let mut config = Config::default();
    config.webhook.allow_private = true;
    config.webhook.timeout_s = 1;
    config.attempts = 4;
    config
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

fn run(house: &House, now: Clock, publish: Option<Arc<dyn Publish>>) -> Running {
    let channels = Arc::new(Channels::new(&house.config.validate().unwrap(), publish));
    let courier = Courier::new(Arc::clone(&house.alerts), channels, now, Arc::new(|| 0.5));
    let (stop, stopped) = oneshot::channel();
    let stopped = async move { drop(stopped.await) };
    Running { stop, task: tokio::spawn(courier.run(stopped)) }
}

/// Looks again until `is_so`, at most half a minute.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..3000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not come to pass");
}

fn hooked(house: &House, id: &str, receiver: &Receiver) {
    let url = receiver.url();
    house.person(id, |person| {
        person.channels = [("hook".to_owned(), Address::Webhook { url })].into();
        person.per_hour = Some(0);
    });
}

#[tokio::test]
async fn what_fails_comes_again_with_its_key_until_it_arrives() {
    let receiver = Receiver::new(|n, _| if n < 3 { status("500 Oops") } else { status("200 OK") }).await;
    let house = House::with(config(), Arc::new(Memory::new()));
    hooked(&house, "ann", &receiver);
    let running = run(&house, fast(), None);
    let hot = began("hot", "pump-1", 0);
    house.take(std::slice::from_ref(&hot), at(0));
    until("the delivery", || house.alerts.counters().delivered == 1).await;
    running.stop().await;
    let requests = receiver.requests();
    let same: BTreeSet<_> = requests.iter().map(|r| (&r.headers["idempotency-key"], &r.body)).collect();
    assert_eq!((requests.len(), same.len()), (4, 1));
    let deliveries = house.alerts.deliveries(&tenant(), &id_of(&hot)).unwrap();
    assert_eq!((deliveries[0].outcome, deliveries[0].attempts), (Outcome::Delivered, 4));
    assert!(house.outbox().is_empty());
    assert_eq!((house.alerts.counters().retried, house.alerts.outbox_len()), (3, 0));
}

#[tokio::test]
async fn what_never_arrives_is_given_up_and_says_why() {
    let receiver = Receiver::new(|_, _| status("500 Oops")).await;
    let house = House::with(config(), Arc::new(Memory::new()));
    hooked(&house, "ann", &receiver);
    let running = run(&house, fast(), None);
    let hot = began("hot", "pump-1", 0);
    house.take(std::slice::from_ref(&hot), at(0));
    until("the end", || house.alerts.counters().failed == 1).await;
    running.stop().await;
    let deliveries = house.alerts.deliveries(&tenant(), &id_of(&hot)).unwrap();
    let [failed] = deliveries.as_slice() else { panic!("{deliveries:?}") };
    assert_eq!(
        (failed.outcome, failed.attempts, failed.said.as_deref()),
        (Outcome::Failed, 4, Some("500 ok"))
    );
    assert_eq!(receiver.requests().len(), 4);
}

#[tokio::test]
async fn a_dead_receiver_holds_up_nobody_else() {
    let (dead, alive) =
        (Receiver::new(|_, _| Answer::Hang).await, Receiver::new(|_, _| status("200 OK")).await);
    let house = House::with(config(), Arc::new(Memory::new()));
    hooked(&house, "dead", &dead);
    hooked(&house, "alive", &alive);
    let all: Vec<_> = (0..200).map(|n| began("hot", &format!("d{n}"), 0)).collect();
    house.take(&all, at(0));
    // By the wall's clock: what hangs takes a second each.
    let running = run(&house, Arc::new(|| at(1)), None);
    until("those for the living", || house.alerts.counters().delivered == 200).await;
    assert_eq!(alive.requests().len(), 200);
    // Eight asked at once before anybody knew, then one at a time.
    assert!(dead.requests().len() <= 32, "{}", dead.requests().len());
    running.stop().await;
    assert!(house.outbox().iter().all(|delivery| delivery.person == "dead"));
}

#[tokio::test]
async fn a_crash_between_arrival_and_its_note_repeats_the_same_key() {
    let receiver = Receiver::new(|_, _| status("200 OK")).await;
    let metadata: Arc<dyn Metadata> = Arc::new(Memory::new());
    let mut house = House::with(config(), Arc::clone(&metadata));
    hooked(&house, "ann", &receiver);
    house.take(&[began("hot", "pump-1", 0), began("hot", "pump-2", 0)], at(0));
    // Delivered, and the process ends before that is written.
    let channels = Channels::new(&house.config.validate().unwrap(), None);
    for delivery in house.outbox() {
        channels.deliver(&tenant(), &delivery, at(1)).await.unwrap();
    }
    house.reopen();
    let running = run(&house, fast(), None);
    until("both", || house.alerts.counters().delivered == 2).await;
    running.stop().await;
    let requests = receiver.requests();
    let keys: BTreeSet<_> = requests.iter().map(|request| &request.headers["webhook-id"]).collect();
    assert_eq!((requests.len(), keys.len()), (4, 2));
    // And not once more.
    house.reopen();
    assert_eq!(house.alerts.outbox_len(), 0);
}

/// What was published, by topic.
#[derive(Default)]
struct Topics {
    published: Mutex<Vec<(String, String)>>,
    fail: AtomicI64,
}

#[async_trait]
impl Publish for Topics {
    async fn publish(&self, tenant: &TenantId, topic: &str, payload: Bytes) -> Result<(), String> {
        if self.fail.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Err("the disk is full".into());
        }
        let payload = String::from_utf8(payload.to_vec()).unwrap();
        self.published.lock().push((format!("{tenant}:{topic}"), payload));
        Ok(())
    }
}

#[tokio::test]
async fn subscribers_get_what_webhooks_get() {
    let topics = Arc::new(Topics { fail: AtomicI64::new(2), ..Topics::default() });
    let house = House::with(config(), Arc::new(Memory::new()));
    house.person("bus", |bus| {
        bus.channels = [("mqtt".to_owned(), Address::Mqtt { topic: "alerts/bus".into() })].into();
    });
    let running = run(&house, fast(), Some(Arc::clone(&topics) as _));
    house.take(&[began("hot", "pump-1", 0)], at(0));
    until("the message", || house.alerts.counters().delivered == 1).await;
    running.stop().await;
    let published = topics.published.lock().clone();
    assert_eq!(published[0].0, "acme:alerts/bus");
    assert!(published[0].1.contains(r#""type":"alert.raised""#), "{}", published[0].1);
    // Without a way there, it says so.
    let hot = began("hot", "pump-2", 0);
    house.take(std::slice::from_ref(&hot), at(500));
    let running = run(&house, Arc::new(|| at(501)), None);
    until("the refusal", || house.alerts.counters().failed == 1).await;
    running.stop().await;
    let said: Vec<Delivery> = house.alerts.deliveries(&tenant(), &id_of(&hot)).unwrap();
    assert!(said[0].said.as_ref().unwrap().contains("nothing over MQTT"), "{said:?}");
}
