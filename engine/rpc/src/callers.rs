//! Who calls, and what it may take: a rate for each peer address; for each connection a number of calls at once, of bytes that
//! they take, and of answers that wait.
//!
//! The rate is a bucket that holds a burst and fills steadily, kept as one number for each address: the time at which it is
//! full again (the generic cell rate algorithm). An address whose bucket is full is forgotten, so only those that
//! call take memory; and of an IPv6 address the first 64 bits count, which is what one customer gets.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::StatusCode;
use jsonrpsee::server::{HttpRequest, HttpResponse, ws};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::answer::{PLAIN_TEXT, answer};
use crate::pace::Pace;
use crate::server::RpcConfig;

/// How often a peer address may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests a second, steadily.
    pub per_second: NonZeroU32,
    /// Requests that may come at once after a pause.
    pub burst: NonZeroU32,
}

/// Addresses whose buckets are remembered; more share one.
const MOST_ADDRESSES: usize = 1 << 16;

/// The buckets of all peers.
pub(crate) struct Callers {
    rate: Option<RateLimit>,
    began: Instant,
    buckets: Mutex<Buckets>,
}

/// By address, when its bucket is full again, in nanoseconds since the start.
#[derive(Default)]
struct Buckets {
    full_at: BTreeMap<IpAddr, u64>,
    /// When those that are full were last forgotten.
    swept_at: u64,
}

impl Callers {
    #[expect(clippy::disallowed_methods, reason = "a rate is requests over time")]
    pub(crate) fn new(rate: Option<RateLimit>) -> Self {
        Self {
            rate,
            began: Instant::now(),
            buckets: Mutex::default(),
        }
    }

    /// Takes one request off an address's bucket. `Err`: how long until there is one again.
    pub(crate) fn take(&self, address: IpAddr) -> Result<(), Duration> {
        let Some(rate) = self.rate else { return Ok(()) };
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.take(rate, account_of(address), now)
    }

    /// The rate, if there is one.
    pub(crate) fn rate(&self) -> Option<RateLimit> {
        self.rate
    }
}

impl Buckets {
    fn take(&mut self, rate: RateLimit, address: IpAddr, now: u64) -> Result<(), Duration> {
        let each = 1_000_000_000 / u64::from(rate.per_second.get());
        let depth = each.saturating_mul(u64::from(rate.burst.get()));
        let address = self.place_for(address, now);
        let full_at = self.full_at.entry(address).or_insert(now);
        let next = now.max(*full_at).saturating_add(each);
        let empty_for = next.saturating_sub(now).saturating_sub(depth);
        if empty_for > 0 {
            return Err(Duration::from_nanos(empty_for));
        }
        *full_at = next;
        Ok(())
    }

    /// The address, or the one that those share for which there is no room.
    fn place_for(&mut self, address: IpAddr, now: u64) -> IpAddr {
        const SWEEP: u64 = 1_000_000_000;
        if self.full_at.len() < MOST_ADDRESSES || self.full_at.contains_key(&address) {
            return address;
        }
        if now.saturating_sub(self.swept_at) >= SWEEP {
            self.swept_at = now;
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        if self.full_at.len() < MOST_ADDRESSES {
            address
        } else {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        }
    }
}

/// The address that requests are counted for.
pub(crate) fn account_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// Calls with long answers that a connection may have at work at once; more wait. Those that have turns of their own
/// ([`crate::turns`]) do not count.
const LONG_AT_ONCE: usize = 4;
/// Batches of a connection with such calls at work at once, each of which keeps its answers until it has all; more wait.
const LONG_BATCHES_AT_ONCE: usize = 2;
/// Requests of the longest kind that a connection may have under way at once.
const LONGEST_REQUESTS: u32 = 4;
/// What requests are counted in.
const REQUEST_UNIT: usize = 1 << 10;

/// Whose turn it is: callers take turns with each other, however much each of them asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Party {
    /// An address, as its rate is counted.
    Address(IpAddr),
    /// A connection of this machine, where everybody has the same address.
    Connection(u64),
}

/// What of a connection's a request has while it is under way.
pub(crate) struct Place {
    _call: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

/// Why a request got no place.
pub(crate) enum NoPlace {
    /// So many calls are under way.
    Calls(u32),
    /// Requests of so many bytes are under way.
    Bytes(u64),
}

/// Who is at the other end of a connection. Goes with every request.
#[derive(Clone)]
pub(crate) struct Caller(Arc<Peer>);

struct Peer {
    address: IpAddr,
    party: Party,
    callers: Arc<Callers>,
    limit: u32,
    calls: Arc<Semaphore>,
    /// Calls of batches that wait or are at work: any one batch fits.
    batched: Arc<Semaphore>,
    request_bytes: u64,
    requests: Arc<Semaphore>,
    long: Arc<Semaphore>,
    long_batches: Arc<Semaphore>,
    pace: Arc<Pace>,
}

impl Caller {
    /// Of a new connection, the `number`th.
    pub(crate) fn new(
        address: IpAddr,
        number: u64,
        callers: Arc<Callers>,
        pace: Arc<Pace>,
        config: &RpcConfig,
    ) -> Self {
        let semaphore = |places| Arc::new(Semaphore::new(places));
        let limit = config.max_calls_per_connection;
        let request_bytes = u64::from(config.max_request_bytes) * u64::from(LONGEST_REQUESTS);
        let party = match account_of(address) {
            address if address.is_loopback() => Party::Connection(number),
            address => Party::Address(address),
        };
        Self(Arc::new(Peer {
            address,
            party,
            callers,
            limit,
            calls: semaphore(limit as usize),
            batched: semaphore(limit.max(config.max_batch) as usize),
            request_bytes,
            requests: semaphore(units(request_bytes)),
            long: semaphore(LONG_AT_ONCE),
            long_batches: semaphore(LONG_BATCHES_AT_ONCE),
            pace,
        }))
    }

    /// Whom its turns are counted for.
    pub(crate) fn party(&self) -> Party {
        self.0.party
    }

    /// What waits for it.
    pub(crate) fn pace(&self) -> &Pace {
        &self.0.pace
    }

    /// Takes one request off its address's bucket. `Err`: the rate, and how long until there is one again.
    pub(crate) fn take(&self) -> Result<(), (Option<RateLimit>, Duration)> {
        self.0
            .callers
            .take(self.0.address)
            .map_err(|wait| (self.0.callers.rate(), wait))
    }

    /// A place for a call of so many bytes, kept until it is dropped.
    pub(crate) fn begin(&self, bytes: usize) -> Result<Place, NoPlace> {
        self.begin_among(&self.0.calls, 1, bytes)
    }

    /// A place for a batch of so many calls, which have theirs besides.
    pub(crate) fn begin_batch(&self, calls: usize, bytes: usize) -> Result<Place, NoPlace> {
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        self.begin_among(&self.0.batched, calls, bytes)
    }

    fn begin_among(&self, places: &Arc<Semaphore>, calls: u32, bytes: usize) -> Result<Place, NoPlace> {
        let call = Arc::clone(places).try_acquire_many_owned(calls);
        let call = call.map_err(|_| NoPlace::Calls(self.0.limit))?;
        let units = u32::try_from(units(bytes as u64)).unwrap_or(u32::MAX);
        let bytes = Arc::clone(&self.0.requests).try_acquire_many_owned(units);
        let bytes = bytes.map_err(|_| NoPlace::Bytes(self.0.request_bytes))?;
        Ok(Place {
            _call: call,
            _bytes: bytes,
        })
    }

    /// Whether a call is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.0.calls.available_permits() < self.0.limit as usize
    }

    /// Waits until another long answer may be made.
    pub(crate) async fn begin_long(&self) -> OwnedSemaphorePermit {
        acquire(&self.0.long).await
    }

    /// Waits until another batch of long answers may be made.
    pub(crate) async fn begin_long_batch(&self) -> OwnedSemaphorePermit {
        acquire(&self.0.long_batches).await
    }
}

async fn acquire(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    let permit = Arc::clone(semaphore).acquire_owned().await;
    permit.expect("the semaphore is never closed")
}

/// Of a request of so many bytes: at least one, so that the shortest count too.
fn units(bytes: u64) -> usize {
    usize::try_from(bytes / REQUEST_UNIT as u64).unwrap_or(usize::MAX >> 4) + 1
}

/// Tells every request of a connection who calls.
#[derive(Clone)]
pub(crate) struct CallerService<S> {
    pub(crate) caller: Caller,
    pub(crate) inner: S,
}

impl<S, B> tower::Service<HttpRequest<B>> for CallerService<S>
where
    S: tower::Service<HttpRequest<B>, Response = HttpResponse>,
    S::Future: Future<Output = Result<HttpResponse, S::Error>> + Send + 'static,
    S::Error: Send + 'static,
{
    type Response = HttpResponse;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: HttpRequest<B>) -> Self::Future {
        let may_become_websocket = self.caller.pace().begins();
        if ws::is_upgrade_request(&request) && !may_become_websocket {
            let text =
                "Upgrade: a WebSocket begins with the first request of its connection; open another one\n";
            return Box::pin(async move { Ok(answer(StatusCode::BAD_REQUEST, PLAIN_TEXT, text)) });
        }
        request.extensions_mut().insert(self.caller.clone());
        let (caller, response) = (self.caller.clone(), self.inner.call(request));
        Box::pin(async move {
            let response = response.await?;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                caller.pace().is_websocket();
            }
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn rate(per_second: u32, burst: u32) -> RateLimit {
        RateLimit {
            per_second: NonZeroU32::new(per_second).unwrap(),
            burst: NonZeroU32::new(burst).unwrap(),
        }
    }

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    #[test]
    fn a_burst_is_taken_at_once_and_the_rate_after_it() {
        let (rate, mut buckets) = (rate(10, 5), Buckets::default());
        let mut take = |now| buckets.take(rate, address(1), now);
        assert!((0..5).all(|_| take(SECOND).is_ok()));
        assert_eq!(take(SECOND), Err(Duration::from_millis(100)));
        assert_eq!(take(SECOND + 99_999_999), Err(Duration::from_nanos(1)));
        assert_eq!(take(SECOND + 100_000_000), Ok(()));
        assert_eq!(take(SECOND + 100_000_000), Err(Duration::from_millis(100)));
        // A refusal takes nothing, and a long pause fills no more than the burst.
        assert!((0..5).all(|_| take(100 * SECOND).is_ok()));
        assert!(take(100 * SECOND).is_err());
    }

    #[test]
    fn addresses_do_not_pay_for_each_other() {
        let (rate, mut buckets) = (rate(1, 1), Buckets::default());
        assert!((0..100).all(|n| buckets.take(rate, address(n), 0).is_ok()));
        assert!((0..100).all(|n| buckets.take(rate, address(n), 0).is_err()));
    }

    #[test]
    fn an_ipv6_network_is_one_caller_and_a_mapped_address_the_ipv4_one() {
        let account = |text: &str| account_of(text.parse().unwrap());
        assert_eq!(account("2001:db8:1:2:3::4"), account("2001:db8:1:2:ffff::1"));
        assert_ne!(account("2001:db8:1:2::4"), account("2001:db8:1:3::4"));
        assert_eq!(account("::ffff:192.0.2.7"), account("192.0.2.7"));
        assert_ne!(account("192.0.2.7"), account("192.0.2.8"));
    }

    #[test]
    fn the_memory_is_bounded_and_who_has_paused_is_forgotten() {
        let (rate, mut buckets) = (rate(1, 2), Buckets::default());
        let most = u32::try_from(MOST_ADDRESSES).unwrap();
        for n in 0..most + 10 {
            buckets.take(rate, address(n), 0).ok();
        }
        assert_eq!(buckets.full_at.len(), MOST_ADDRESSES + 1, "one is shared");
        assert!(
            buckets.take(rate, address(most + 1), 0).is_err(),
            "by those without room"
        );
        assert_eq!(buckets.take(rate, address(most + 1), 5 * SECOND), Ok(()));
        assert_eq!(buckets.full_at.len(), 1);
    }
}
