//! `millrace top`: a node in a terminal.
//!
//! The model is [`crate::watch`]'s; here it is laid out: [`view`] draws it, [`picture`] writes what was drawn as text or
//! SVG, and this file asks, draws and listens to keys by turns.

mod picture;
mod view;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::commands::dev::interrupted;
use crate::commands::{print_text, run_async};
use crate::failure::Failure;
use crate::watch::{Model, Sample, Sampler};
use view::View;

/// How soon a key is noticed.
const KEY_PATIENCE: Duration = Duration::from_millis(50);

/// Shows a node's heights, lag, queue, throughput, pressure, pool and plugin, and what became of them.
///
/// Keys: q ends, p pauses.
#[derive(Args, Debug)]
pub struct TopArgs {
    /// The node.
    #[arg(
        long,
        env = "MILLRACE_RPC",
        default_value = "http://127.0.0.1:4860",
        value_name = "URL"
    )]
    rpc: String,
    /// Milliseconds between samples.
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    interval_ms: u64,
    /// Takes some samples, prints one frame as text and ends.
    #[arg(long)]
    once: bool,
    /// With --once: so many samples; rates need two.
    #[arg(long, value_name = "N", default_value_t = 2, requires = "once", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    samples: u64,
    /// With --once: the frame's columns.
    #[arg(long, value_name = "N", default_value_t = 100, requires = "once", value_parser = clap::value_parser!(u16).range(60..=300))]
    columns: u16,
    /// With --once: the frame's rows.
    #[arg(long, value_name = "N", default_value_t = 32, requires = "once", value_parser = clap::value_parser!(u16).range(20..=120))]
    rows: u16,
    /// With --once: writes the frame to this file as a picture.
    #[arg(long, value_name = "FILE", requires = "once")]
    svg: Option<PathBuf>,
    /// With --once: prints the model as one JSON object instead.
    #[arg(long, requires = "once")]
    json: bool,
}

impl TopArgs {
    /// Shows the node.
    ///
    /// # Errors
    /// When there is no terminal, or with `--once` when the node does not answer.
    pub fn run(self) -> Result<(), Failure> {
        let sampler = Sampler::new(&self.rpc)?;
        if self.once {
            return run_async(self.print_once(sampler));
        }
        if !std::io::stdout().is_terminal() {
            return Err(Failure::new(
                "top draws on a terminal, and stdout is none; use --once for a frame as text, or --once --json",
            ));
        }
        run_async(self.watch(sampler))
    }

    async fn print_once(self, mut sampler: Sampler) -> Result<(), Failure> {
        let mut model = Model::default();
        let began = now();
        for taken in 0..self.samples {
            if taken > 0 {
                tokio::time::sleep(Duration::from_millis(self.interval_ms)).await;
            }
            model.take(&sampler.sample(milliseconds_since(began)).await?);
        }
        let frame = self.frame(&model)?;
        if let Some(file) = &self.svg {
            std::fs::write(file, picture::svg(&frame))
                .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
        }
        if self.json {
            print_text(&format!("{}\n", serde_json::to_value(&model)?))
        } else {
            print_text(&picture::text(&frame))
        }
    }

    fn frame(&self, model: &Model) -> Result<Buffer, Failure> {
        let view = View {
            url: &self.rpc,
            is_paused: false,
            has_keys: false,
        };
        view::buffer(&view, model, self.columns, self.rows)
    }

    async fn watch(self, sampler: Sampler) -> Result<(), Failure> {
        let (sender, samples) = mpsc::sync_channel(1);
        let interval = Duration::from_millis(self.interval_ms);
        let sampling = tokio::spawn(keep_sampling(sampler, interval, sender));
        // A signal that ended the process here would leave its terminal raw.
        let is_ended = Arc::new(AtomicBool::new(false));
        let signals = tokio::spawn({
            let is_ended = is_ended.clone();
            async move {
                interrupted().await;
                is_ended.store(true, Ordering::Relaxed);
            }
        });
        let watching = tokio::task::spawn_blocking(move || watch_on_terminal(&self.rpc, &samples, &is_ended));
        let watched = watching
            .await
            .map_err(|error| Failure::new(format!("drawing ended: {error}")))?;
        sampling.abort();
        signals.abort();
        watched
    }
}

/// Samples until nobody looks any more.
async fn keep_sampling(
    mut sampler: Sampler,
    interval: Duration,
    to: mpsc::SyncSender<Result<Sample, String>>,
) {
    let began = now();
    loop {
        let sample = sampler.sample(milliseconds_since(began)).await;
        let sample = sample.map_err(|error| error.to_string());
        // A view that is behind is shown the next one.
        if let Err(mpsc::TrySendError::Disconnected(_)) = to.try_send(sample) {
            return;
        }
        tokio::time::sleep(interval).await;
    }
}

fn watch_on_terminal(
    url: &str,
    samples: &mpsc::Receiver<Result<Sample, String>>,
    is_ended: &AtomicBool,
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("terminal: {error}"));
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let watched = draw_until_left(&mut terminal, url, samples, is_ended).map_err(failed);
    ratatui::restore();
    watched
}

fn draw_until_left(
    terminal: &mut ratatui::DefaultTerminal,
    url: &str,
    samples: &mpsc::Receiver<Result<Sample, String>>,
    is_ended: &AtomicBool,
) -> std::io::Result<()> {
    let mut model = Model::default();
    let mut is_paused = false;
    let mut is_stale = true;
    while !is_ended.load(Ordering::Relaxed) {
        for sample in samples.try_iter() {
            match sample {
                _ if is_paused => continue,
                Ok(sample) => model.take(&sample),
                Err(why) => model.lose(why),
            }
            is_stale = true;
        }
        if is_stale {
            let view = View {
                url,
                is_paused,
                has_keys: true,
            };
            terminal.draw(|frame| view.draw(&model, frame))?;
            is_stale = false;
        }
        if !event::poll(KEY_PATIENCE)? {
            continue;
        }
        match event::read()? {
            Event::Key(key) if key.kind == KeyEventKind::Press => match meaning(key) {
                Some(Key::Leave) => return Ok(()),
                Some(Key::Pause) => is_paused = !is_paused,
                None => {}
            },
            _ => {}
        }
        is_stale = true;
    }
    Ok(())
}

enum Key {
    Leave,
    Pause,
}

fn meaning(key: KeyEvent) -> Option<Key> {
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => Some(Key::Leave),
        // The terminal is in raw mode: nobody else makes a signal of it.
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Leave),
        KeyCode::Char('p' | ' ') => Some(Key::Pause),
        _ => None,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "rates that people look at are over time"
)]
fn now() -> Instant {
    Instant::now()
}

fn milliseconds_since(began: Instant) -> u64 {
    u64::try_from(now().duration_since(began).as_millis()).unwrap_or(u64::MAX)
}
