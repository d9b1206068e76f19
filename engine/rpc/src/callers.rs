//! Who calls, and how often it may: a rate for each peer address, and a number of calls at once for each connection.
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

use jsonrpsee::server::HttpRequest;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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
fn account_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// Who is at the other end of a connection. Goes with every request.
#[derive(Clone)]
pub(crate) struct Caller {
    address: IpAddr,
    callers: Arc<Callers>,
    calls: Arc<Semaphore>,
    limit: u32,
}

impl Caller {
    /// Of a new connection, which may have so many calls at once.
    pub(crate) fn new(address: IpAddr, callers: Arc<Callers>, limit: u32) -> Self {
        let calls = Arc::new(Semaphore::new(limit as usize));
        Self {
            address,
            callers,
            calls,
            limit,
        }
    }

    /// Calls that its connection may have at once.
    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// Takes one request off its address's bucket. `Err`: the rate, and how long until there is one again.
    pub(crate) fn take(&self) -> Result<(), (Option<RateLimit>, Duration)> {
        self.callers
            .take(self.address)
            .map_err(|wait| (self.callers.rate(), wait))
    }

    /// A place among the connection's calls, kept until it is dropped; none if all are taken.
    pub(crate) fn begin(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.calls).try_acquire_owned().ok()
    }
}

/// Tells every request of a connection who calls.
#[derive(Clone)]
pub(crate) struct CallerService<S> {
    pub(crate) caller: Caller,
    pub(crate) inner: S,
}

impl<S, B> tower::Service<HttpRequest<B>> for CallerService<S>
where
    S: tower::Service<HttpRequest<B>>,
    S::Future: Future<Output = Result<S::Response, S::Error>> + Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: HttpRequest<B>) -> Self::Future {
        request.extensions_mut().insert(self.caller.clone());
        Box::pin(self.inner.call(request))
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
