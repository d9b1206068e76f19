//! Subscribers that keep up: each checks all that it is told.

use std::sync::Arc;
use std::time::Duration;

use jsonrpsee::core::client::Subscription;
use jsonrpsee_ws_client::{WsClient, WsClientBuilder};
use millrace_rpc::MillraceClient as _;
use millrace_rpc::shapes::{EventView, HeightsView, Notification, Topic};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::failure::Failure;

const TOPICS: [Topic; 4] = [Topic::Finalized, Topic::Executed, Topic::Settled, Topic::Head];
/// Connections that are made at a time.
const AT_A_TIME: usize = 32;
/// How long the last notifications may take once the load is over.
const PATIENCE: Duration = Duration::from_secs(60);

/// All of them.
pub struct Followers {
    tasks: JoinSet<Result<u64, Failure>>,
    /// The heights that everybody must be told of; none while the load goes on.
    until: watch::Sender<Option<HeightsView>>,
}

/// What they were told.
pub struct Told {
    /// All together.
    pub notifications: u64,
    /// The one that was told least.
    pub least: u64,
}

impl Followers {
    /// Connects and subscribes all of them.
    ///
    /// # Errors
    /// When one is refused.
    pub async fn start(url: &str, count: u32) -> Result<Self, Failure> {
        let (until, heard) = watch::channel(None);
        let turns = Arc::new(Semaphore::new(AT_A_TIME));
        let mut connecting = JoinSet::new();
        for number in 0..count {
            let (url, turns) = (url.replace("http://", "ws://"), Arc::clone(&turns));
            connecting.spawn(async move {
                let _turn = turns
                    .acquire_owned()
                    .await
                    .expect("the semaphore is never closed");
                let topic = TOPICS[number as usize % TOPICS.len()].clone();
                let connect = WsClientBuilder::default().build(&url).await;
                let socket = connect.map_err(|error| failed(number, &topic, &error))?;
                let stream = socket.follow(topic.clone()).await;
                let stream = stream.map_err(|error| failed(number, &topic, &error))?;
                Ok::<_, Failure>((number, topic, socket, stream))
            });
        }
        let mut tasks = JoinSet::new();
        while let Some(connected) = connecting.join_next().await {
            let (number, topic, socket, stream) =
                connected.map_err(|error| Failure::new(error.to_string()))??;
            let follower = Follower {
                number,
                topic,
                _socket: socket,
                stream,
                told: 0,
                height: None,
            };
            tasks.spawn(follower.follow(heard.clone()));
        }
        Ok(Self { tasks, until })
    }

    /// Waits until all have been told of what there is now.
    ///
    /// # Errors
    /// What one of them missed, got twice or out of order.
    pub async fn wait(mut self, heights: &HeightsView) -> Result<Told, Failure> {
        self.until.send_replace(Some(*heights));
        let mut told = Told {
            notifications: 0,
            least: u64::MAX,
        };
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                let notifications = ended.map_err(|error| Failure::new(error.to_string()))??;
                told.notifications += notifications;
                told.least = told.least.min(notifications);
            }
            Ok::<_, Failure>(())
        };
        match tokio::time::timeout(PATIENCE, all).await {
            Ok(ended) => ended.map(|()| told),
            Err(_) => Err(Failure::new(format!(
                "{} subscribers have not been told of height {} within {PATIENCE:?}",
                self.tasks.len(),
                heights.executed
            ))),
        }
    }
}

fn failed(number: u32, topic: &Topic, what: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("subscriber {number} ({topic:?}): {what}"))
}

/// One of them.
struct Follower {
    number: u32,
    topic: Topic,
    /// The subscription ends with it.
    _socket: WsClient,
    stream: Subscription<Notification>,
    told: u64,
    /// The newest height that it was told of.
    height: Option<u64>,
}

impl Follower {
    /// Follows until it has been told of what it must; answers how many notifications that took.
    async fn follow(mut self, mut until: watch::Receiver<Option<HeightsView>>) -> Result<u64, Failure> {
        loop {
            let enough = until.borrow_and_update().map(|heights| match &self.topic {
                Topic::Finalized => heights.finalized,
                Topic::Executed | Topic::Transactions | Topic::Logs(_) => heights.executed,
                Topic::Settled => heights.settled,
                Topic::Head => heights.pending,
            });
            if enough.is_some_and(|enough| self.height.is_some_and(|height| height >= enough)) {
                return Ok(self.told);
            }
            tokio::select! {
                changed = until.changed() => changed.map_err(|_| self.failure(&"nobody waits any more"))?,
                next = self.stream.next() => match next {
                    Some(Ok(notification)) => self.take(&notification)?,
                    Some(Err(error)) => return Err(self.failure(&error)),
                    None => return Err(self.failure(&"the subscription was ended")),
                },
            }
        }
    }

    fn failure(&self, what: &dyn std::fmt::Display) -> Failure {
        failed(self.number, &self.topic, what)
    }

    /// Its number and its heights must be next in turn.
    fn take(&mut self, notification: &Notification) -> Result<(), Failure> {
        if notification.sequence != self.told {
            return Err(self.failure(&format!(
                "number {} after {} of them",
                notification.sequence, self.told
            )));
        }
        self.told += 1;
        let (first, last) = match &notification.event {
            EventView::Finalized { height, .. } => (*height, *height),
            EventView::Executed { receipt, .. } => (receipt.height, receipt.height),
            EventView::Settled { from, to, .. } => (*from, *to),
            EventView::HeadMoved { height, added, .. } => {
                (added.first().map_or(*height, |block| block.height), *height)
            }
            other => return Err(self.failure(&format!("{other:?} on a chain of one sequencer"))),
        };
        if self.height.is_some_and(|height| first != height + 1) {
            return Err(self.failure(&format!("height {first} after {:?}", self.height)));
        }
        self.height = Some(last);
        Ok(())
    }
}
