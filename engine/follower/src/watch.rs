//! Following as blocks come: told by a subscription, checked as everything is, and by asking where nobody tells.
//!
//! ```text
//!            ┌── told of a block ──▶ the leader is asked ──┐
//!   wait ────┤                                             ├──▶ events
//!     ▲      └── silence, or the poll ──▶ a whole round ───┘      │
//!     └────────────────────────────────────────────────────────────┘
//! ```
//!
//! What a subscription tells is a reason to ask, and nothing more. A node that tells of blocks and does not send them stops
//! leading. One that says nothing while others go on is subscribed to anew, and asked at the pace of the poll where it takes
//! no subscription; one that has fallen behind is left as in every round.

use std::collections::VecDeque;
use std::time::Duration;

use jsonrpsee::core::client::Subscription;
use jsonrpsee_ws_client::{WsClient, WsClientBuilder};
use millrace_rpc::MillraceClient as _;
use millrace_rpc::shapes::{EventView, Notification, Topic};
use millrace_types::{Hash, Height};
use tokio::time::{sleep, timeout};

use crate::fault::{Fault, FollowError, Left};
use crate::follower::Follower;

/// Blocks that the leader tells of between two rounds that ask everybody.
const TOLD_BETWEEN_ROUNDS: u32 = 32;
/// How often the leader may tell of a block that it does not send.
const EMPTY_WORDS: u32 = 3;
/// Notifications that may wait in this process. Who is behind by more is cut off, and asks.
const WAITING: usize = 256;
/// The most bytes of a notification.
const NOTIFICATION_BYTES: u32 = 1 << 16;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// More is final.
    Heights {
        /// The newest finalized height.
        finalized_height: Height,
        /// Its hash.
        finalized_hash: Hash,
        /// The newest height whose execution a finalized header commits to.
        executed_height: Height,
        /// The node that leads.
        url: String,
    },
    /// A node was left.
    Left(Left),
    /// Another node leads now.
    Leads {
        /// Its URL.
        url: String,
    },
    /// Nobody answers; everybody is asked again until somebody does.
    Waiting {
        /// Why.
        reason: String,
    },
}

/// When to ask without being told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Between two rounds while nobody tells.
    pub poll: Duration,
    /// How long a subscription may say nothing before a round is made all the same.
    pub silence: Duration,
    /// Whether to subscribe at all.
    pub subscribe: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(1),
            silence: Duration::from_secs(10),
            subscribe: true,
        }
    }
}

/// A follower that goes on.
pub struct Watch {
    follower: Follower,
    pace: Pace,
    deadline: Duration,
    teller: Option<Teller>,
    deaf: Deaf,
    events: VecDeque<Event>,
    shown: Shown,
    told: u32,
    empty_words: u32,
}

/// What was shown last, so that changes show.
#[derive(Default)]
struct Shown {
    began: bool,
    finalized: Option<Height>,
    leader: usize,
    waiting: bool,
}

/// A subscription to a node's finalized blocks.
struct Teller {
    node: usize,
    /// Ends with it.
    _client: WsClient,
    words: Subscription<Notification>,
}

/// Subscriptions that the leader did not give. Each may have taken a deadline, so there are more and more polls between them.
#[derive(Default)]
struct Deaf {
    node: usize,
    refused: u32,
    /// Polls until the next attempt.
    rest: u32,
}

impl Deaf {
    /// Whether to try at this poll.
    fn may_try(&mut self, node: usize) -> bool {
        if self.node != node {
            *self = Self {
                node,
                ..Self::default()
            };
        }
        let may = self.rest == 0;
        self.rest = self.rest.saturating_sub(1);
        may
    }

    fn refused(&mut self) {
        const LONGEST: u32 = 6;
        self.rest = (1 << self.refused.min(LONGEST)) - 1;
        self.refused = self.refused.saturating_add(1);
    }
}

/// Why to ask.
enum Wake {
    /// A block at this height is final, somebody says.
    Told(Height),
    /// A subscription has begun; what came before it was not told.
    Began,
    /// It is time.
    Time,
}

impl Watch {
    /// Follows with what a follower has. `deadline` is for connecting.
    #[must_use]
    pub fn new(follower: Follower, pace: Pace, deadline: Duration) -> Self {
        let leader = follower.leader;
        Self {
            follower,
            pace,
            deadline,
            teller: None,
            deaf: Deaf::default(),
            events: VecDeque::new(),
            shown: Shown {
                leader,
                ..Shown::default()
            },
            told: 0,
            empty_words: 0,
        }
    }

    /// The follower.
    #[must_use]
    pub fn follower(&self) -> &Follower {
        &self.follower
    }

    /// The follower, to go on with in another way.
    #[must_use]
    pub fn into_follower(self) -> Follower {
        self.follower
    }

    /// The next event, waited for as long as it takes. May be dropped while it waits.
    ///
    /// # Errors
    /// When two certified branches contradict each other, or every node was left for good: there is nothing to follow any
    /// more.
    pub async fn next(&mut self) -> Result<Event, FollowError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            self.step().await?;
        }
    }

    async fn step(&mut self) -> Result<(), FollowError> {
        let wake = if self.shown.began {
            self.wait().await
        } else {
            Wake::Time
        };
        self.shown.began = true;
        let before = self.follower.light().finalized_height();
        let asked = match wake {
            Wake::Told(height) if self.told < TOLD_BETWEEN_ROUNDS => {
                self.told += 1;
                self.hear(height).await
            }
            Wake::Told(_) | Wake::Began | Wake::Time => {
                self.told = 0;
                let asked = self.follower.sync().await;
                if matches!(wake, Wake::Time) && self.follower.light().finalized_height() > before {
                    // It should have told.
                    self.teller = None;
                }
                asked
            }
        };
        match asked {
            Ok(()) => self.shown.waiting = false,
            Err(FollowError::NoAnswer { what, nodes }) => {
                // Nobody is left who would ever be asked again.
                let for_good = nodes.iter().all(|left| left.fault.is_lasting());
                let error = FollowError::NoAnswer { what, nodes };
                if for_good {
                    return Err(error);
                }
                self.teller = None;
                if !std::mem::replace(&mut self.shown.waiting, true) {
                    let reason = error.to_string();
                    self.show();
                    self.events.push_back(Event::Waiting { reason });
                }
            }
            Err(error) => return Err(error),
        }
        self.show();
        Ok(())
    }

    /// Asks the leader for the block that it tells of.
    async fn hear(&mut self, told: Height) -> Result<(), FollowError> {
        let leader = self.follower.leader;
        self.follower.advance().await?;
        let sent = self.follower.light().finalized_height();
        if sent >= told {
            self.empty_words = 0;
            return Ok(());
        }
        self.empty_words += 1;
        if self.empty_words < EMPTY_WORDS {
            return Ok(());
        }
        self.empty_words = 0;
        if self.follower.nodes[leader].left.is_none() {
            self.follower.leave(leader, Fault::Empty { told, sent });
        }
        self.follower.elect("headers")
    }

    /// Puts what changed among the events.
    fn show(&mut self) {
        self.events
            .extend(self.follower.take_news().into_iter().map(Event::Left));
        let leader = self.follower.leader;
        let url = self.follower.nodes[leader].url.clone();
        if std::mem::replace(&mut self.shown.leader, leader) != leader {
            self.events.push_back(Event::Leads { url: url.clone() });
        }
        let light = self.follower.light();
        let (header, hash) = light.finalized();
        if self.shown.finalized != Some(header.height) {
            self.shown.finalized = Some(header.height);
            self.events.push_back(Event::Heights {
                finalized_height: header.height,
                finalized_hash: hash,
                executed_height: light.executed_height(),
                url,
            });
        }
    }

    /// Waits for a reason to ask.
    async fn wait(&mut self) -> Wake {
        if self.listen().await {
            return Wake::Began;
        }
        let Some(teller) = &mut self.teller else {
            sleep(self.pace.poll).await;
            return Wake::Time;
        };
        let known = self.follower.light().finalized_height();
        let word = async {
            loop {
                let event = match teller.words.next().await {
                    Some(Ok(notification)) => notification.event,
                    _ => return None,
                };
                match event {
                    EventView::Finalized { height, .. } if height <= known => {}
                    EventView::Finalized { height, .. } => return Some(height),
                    // A stop, or something that was not asked for.
                    _ => return None,
                }
            }
        };
        match timeout(self.pace.silence, word).await {
            Ok(Some(height)) => Wake::Told(height),
            Ok(None) => {
                self.teller = None;
                sleep(self.pace.poll).await;
                Wake::Time
            }
            Err(_) => Wake::Time,
        }
    }

    /// Subscribes to the leader, if it is not subscribed to already; whether it has just been.
    async fn listen(&mut self) -> bool {
        let leader = self.follower.leader;
        if self.teller.as_ref().is_some_and(|teller| teller.node == leader) {
            return false;
        }
        self.teller = None;
        let node = &self.follower.nodes[leader];
        if self.pace.subscribe && node.left.is_none() && self.deaf.may_try(leader) {
            // Without a subscription there is the poll, and another attempt after it.
            let words = timeout(self.deadline, subscribe(&node.url, self.deadline)).await;
            self.teller = words.ok().flatten().map(|(client, words)| Teller {
                node: leader,
                _client: client,
                words,
            });
            match self.teller {
                Some(_) => self.deaf = Deaf::default(),
                None => self.deaf.refused(),
            }
        }
        self.teller.is_some()
    }
}

/// A subscription to the finalized blocks of the node at `url`, if it gives one.
async fn subscribe(url: &str, deadline: Duration) -> Option<(WsClient, Subscription<Notification>)> {
    let rest = url.strip_prefix("http")?;
    let client = WsClientBuilder::default()
        .max_response_size(NOTIFICATION_BYTES)
        .max_buffer_capacity_per_subscription(WAITING)
        .request_timeout(deadline)
        .connection_timeout(deadline)
        .build(format!("ws{rest}"))
        .await
        .ok()?;
    let words = client.follow(Topic::Finalized).await.ok()?;
    Some((client, words))
}
