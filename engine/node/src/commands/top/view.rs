//! The model on a screen of characters.
//!
//! ```text
//!   which node, which chain
//!   ┌ heights ────────────────────────────────────────────┐   head, finalized, executed, settled
//!   ┌ settlement lag ─────────┐┌ queue ───────────────────┐
//!   ┌ throughput ─────────────────────────────────────────┐
//!   ┌ stages of a block: mean, busy ──────────────────────┐   execute, root, persist, keep; where there are rows for it
//!   ┌ pressure ──────┐┌ pool ──────────┐┌ engine ─────────┐
//!   what to look at
//! ```

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Paragraph, RenderDirection, Sparkline, Wrap};

use super::*;
use crate::watch::model::{Level, Point, RUNGS, Stage};

/// Terminals have sixteen colours of their own: these fit light ones and dark ones.
const GOOD: Color = Color::Green;
const WARNING: Color = Color::Yellow;
const BAD: Color = Color::Red;
const CURVE: Color = Color::Cyan;
/// More is drawn like this: a node may say anything, and curves are made by multiplying.
const MOST_DRAWN: u64 = 1 << 40;

/// Rows that everything but alerts takes at least: on the smallest usual terminal, 80 by 24, five are left for them.
const OTHER_ROWS: u16 = 19;
/// Rows of the times of stages, which come after alerts.
const TIMING_ROWS: u16 = 3;

/// How one frame is drawn.
pub struct View<'a> {
    /// The node.
    pub url: &'a str,
    /// Whether samples are passed by.
    pub is_paused: bool,
    /// Whether somebody may press keys.
    pub has_keys: bool,
}

/// A frame on a screen of its own.
pub fn buffer(view: &View<'_>, model: &Model, columns: u16, rows: u16) -> Result<Buffer, Failure> {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows))
        .map_err(|error| Failure::new(format!("a screen in memory: {error}")))?;
    terminal
        .draw(|frame| view.draw(model, frame))
        .map_err(|error| Failure::new(format!("a screen in memory: {error}")))?;
    Ok(terminal.backend().buffer().clone())
}

impl View<'_> {
    /// Draws the model over the whole frame.
    pub fn draw(&self, model: &Model, frame: &mut Frame<'_>) {
        let columns = usize::from(frame.area().width);
        let alerts = alert_lines(model);
        let rows: usize = alerts.iter().map(|line| rows_of(line, columns)).sum();
        let rows = u16::try_from(rows)
            .unwrap_or(u16::MAX)
            .clamp(1, frame.area().height.saturating_sub(OTHER_ROWS).clamp(5, 10));
        let has_room = frame.area().height >= OTHER_ROWS + TIMING_ROWS + rows;
        let timing_rows = if has_room { TIMING_ROWS } else { 0 };
        let [header, stages, lags, throughput, timings, facts, alert, footer] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(5),
            Constraint::Min(3),
            Constraint::Min(3),
            Constraint::Length(timing_rows),
            Constraint::Length(6),
            Constraint::Length(rows),
            Constraint::Length(u16::from(self.has_keys)),
        ])
        .areas(frame.area());
        frame.render_widget(self.header(model), header);
        draw_stages(model, frame, stages);
        let [lag, queue] = Layout::horizontal([Constraint::Fill(1); 2]).areas(lags);
        draw_lag(model, frame, lag);
        draw_queue(model, frame, queue);
        draw_throughput(model, frame, throughput);
        if has_room {
            draw_timings(model, frame, timings);
        }
        let [pressure, pool, engine] = Layout::horizontal([Constraint::Fill(1); 3]).areas(facts);
        draw_pressure(model, frame, pressure);
        draw_pool(model, frame, pool);
        draw_engine(model, frame, engine);
        frame.render_widget(Paragraph::new(alerts).wrap(Wrap { trim: false }), alert);
        if self.has_keys {
            frame.render_widget(Line::from(" q quit   p pause").dim(), footer);
        }
    }

    fn header<'a>(&'a self, model: &'a Model) -> Line<'a> {
        let (word, colour) = match (&model.lost, model.at_ms) {
            (Some(_), _) => ("no answer", BAD),
            (None, None) => ("connecting", WARNING),
            (None, Some(_)) if self.is_paused => ("paused", WARNING),
            (None, Some(_)) => ("connected", GOOD),
        };
        let chain = &model.chain;
        Line::from(vec![
            " millrace ".bold(),
            Span::raw(format!("{}  {}  ", chain.version, self.url)),
            Span::styled(word, Style::new().fg(colour)),
            Span::raw(format!("  {}  chain {}  ", chain.consensus, chain.chain_id)),
            Span::raw(chain.genesis_hash.get(..10).unwrap_or("")).dim(),
        ])
    }
}

fn framed(title: &str) -> Block<'_> {
    let title = Line::from(format!(" {title} ")).bold();
    Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(Style::new().dim())
        .title(title)
}

fn draw_stages(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let block = framed("heights");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let columns = Layout::horizontal([Constraint::Fill(1); 4]).split(inner);
    for (stage, column) in model.stages.iter().zip(columns.iter()) {
        frame.render_widget(Paragraph::new(stage_lines(stage)), *column);
    }
}

fn stage_lines(stage: &Stage) -> Vec<Line<'static>> {
    let behind = match stage.behind {
        0 => "".to_owned(),
        blocks => format!("  {} behind", grouped(blocks)),
    };
    let arrow = if stage.name == "head" { "   " } else { " ▶ " };
    vec![
        Line::from(format!("{arrow}{}", stage.name)).dim(),
        Line::from(vec![
            Span::raw(format!("   {}", grouped(stage.height))).bold(),
            Span::styled(behind, Style::new().fg(WARNING)),
        ]),
        Line::from(format!("   {} blocks/s", rate(stage.blocks_per_second))).dim(),
    ]
}

fn draw_lag(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let lag = &model.lag;
    let limit = lag.limit.map_or_else(|| "?".to_owned(), grouped);
    let text = format!(
        "{} of at most {limit} blocks, largest {}",
        grouped(lag.blocks),
        grouped(lag.largest)
    );
    let is_full = lag.limit.is_some_and(|limit| lag.blocks >= limit);
    let colour = if is_full { WARNING } else { GOOD };
    let values = |point: &Point| point.lag;
    draw_curve(
        model,
        frame,
        area,
        "settlement lag",
        (&text, colour),
        values,
        lag.limit,
    );
}

fn draw_queue(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let queue = &model.queue;
    let text = format!(
        "{} blocks, room for {}, oldest {} ms, largest {}",
        grouped(queue.blocks),
        grouped(queue.room),
        grouped(queue.oldest_ms),
        grouped(queue.largest)
    );
    let colour = if queue.room == 0 { WARNING } else { GOOD };
    let full = queue.blocks.saturating_add(queue.room);
    draw_curve(
        model,
        frame,
        area,
        "queue",
        (&text, colour),
        |point| point.queue,
        Some(full),
    );
}

fn draw_throughput(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let done = &model.throughput;
    let text = format!(
        "{} transactions/s, {} blocks/s, {} gas/s, {} calls/s, {} transactions in all",
        rate(done.transactions),
        rate(done.blocks),
        rate(done.gas),
        rate(done.calls),
        grouped(done.transactions_total)
    );
    let values = |point: &Point| point.transactions_per_second as u64;
    draw_curve(model, frame, area, "throughput", (&text, GOOD), values, None);
}

fn draw_timings(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let mut spans = Vec::new();
    for timing in &model.timings {
        let busy = timing
            .busy
            .map_or_else(|| "–".to_owned(), |share| format!("{:.0}%", share * 100.0));
        spans.push(Span::raw(format!(" {} ", timing.name)).dim());
        spans.push(Span::raw(format!("{} {busy} ", milliseconds(timing.mean_ms))));
    }
    let block = framed("stages of a block: mean time, busy");
    frame.render_widget(Paragraph::new(Line::from(spans)).block(block), area);
}

/// A line of text above a curve of the newest points.
fn draw_curve(
    model: &Model,
    frame: &mut Frame<'_>,
    area: Rect,
    title: &str,
    (text, colour): (&str, Color),
    value: fn(&Point) -> u64,
    most: Option<u64>,
) {
    let block = framed(title);
    let [line, curve] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(block.inner(area));
    frame.render_widget(block, area);
    frame.render_widget(
        Line::from(format!(" {text}")).style(Style::new().fg(colour)),
        line,
    );
    // The newest is at the right border, as on paper that moves.
    let values = model
        .history
        .iter()
        .rev()
        .map(|point| value(point).min(MOST_DRAWN));
    let mut sparkline = Sparkline::default()
        .data(values)
        .direction(RenderDirection::RightToLeft)
        .style(Style::new().fg(CURVE));
    if let Some(most) = most {
        sparkline = sparkline.max(most.clamp(1, MOST_DRAWN));
    }
    frame.render_widget(sparkline, curve);
}

fn draw_pressure(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let pressure = &model.pressure;
    let colour = match pressure.level {
        0 => GOOD,
        1 | 2 => WARNING,
        _ => BAD,
    };
    let mut ladder = vec![Span::raw(" ")];
    for rung in RUNGS {
        let style = if rung == pressure.rung {
            Style::new()
                .fg(colour)
                .add_modifier(Modifier::BOLD | Modifier::REVERSED)
        } else {
            Style::new().add_modifier(Modifier::DIM)
        };
        ladder.push(Span::styled(format!(" {rung} "), style));
    }
    let lines = vec![
        Line::from(ladder),
        Line::from(format!(" next block: {} gas", short(pressure.max_gas as f64))),
        Line::from(format!(
            "   {}, {} ms",
            bytes(pressure.max_bytes as f64),
            grouped(pressure.min_interval_ms)
        )),
        Line::from(format!(
            " declined {}, refused {}",
            grouped(pressure.builds_declined),
            grouped(pressure.submissions_refused)
        ))
        .dim(),
    ];
    frame.render_widget(Paragraph::new(lines).block(framed("pressure")), area);
}

fn draw_pool(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let plugin = &model.plugin;
    let colour = if matches!(plugin.state.as_str(), "healthy" | "loaded") {
        GOOD
    } else {
        BAD
    };
    let lines = vec![
        Line::from(format!(" {} transactions", grouped(model.pool.transactions))),
        Line::from(format!(" {}", bytes(model.pool.bytes as f64))).dim(),
        Line::from(format!(" plugin {}", plugin.name)),
        Line::from(format!(" {}", plugin.state)).style(Style::new().fg(colour)),
    ];
    frame.render_widget(Paragraph::new(lines).block(framed("pool, plugin")), area);
}

fn draw_engine(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let facts = &model.engine;
    let count = |value: Option<f64>| value.map_or_else(|| "?".to_owned(), short);
    let log = facts.state_log_bytes.map_or_else(|| "?".to_owned(), bytes);
    let lines = vec![
        Line::from(format!(" states {}, {log}", count(facts.state_versions))),
        Line::from(format!(
            " speculated {}, dropped {}",
            count(facts.speculations),
            count(facts.speculations_dropped)
        )),
        Line::from(format!(
            " reorgs {}, blocks {}",
            count(facts.reorgs),
            count(facts.reorged_blocks)
        )),
    ];
    frame.render_widget(Paragraph::new(lines).block(framed("engine")), area);
}

fn alert_lines(model: &Model) -> Vec<Line<'_>> {
    if model.alerts.is_empty() {
        let text = if model.at_ms.is_some() {
            " nothing to look at"
        } else {
            ""
        };
        return vec![Line::from(text).dim()];
    }
    let line = |alert: &crate::watch::model::Alert| {
        let (word, colour) = match alert.level {
            Level::Failure => (" failure ", BAD),
            Level::Warning => (" warning ", WARNING),
        };
        Line::from(vec![
            Span::styled(word, Style::new().fg(colour).add_modifier(Modifier::BOLD)),
            Span::raw(alert.text.clone()),
        ])
    };
    model.alerts.iter().map(line).collect()
}

/// Rows that a line takes whose words are wrapped.
fn rows_of(line: &Line<'_>, columns: usize) -> usize {
    let columns = columns.max(1);
    let text: String = line.spans.iter().map(|span| span.content.as_ref()).collect();
    let (mut rows, mut used) = (1, 0);
    for word in text.split(' ') {
        let width = Span::raw(word).width();
        let after = if used == 0 { 0 } else { used + 1 };
        if after + width <= columns {
            used = after + width;
            continue;
        }
        // On a row of its own, or on several.
        rows += usize::from(used > 0) + width.saturating_sub(1) / columns;
        used = width.saturating_sub(1) % columns + 1;
    }
    rows
}

/// A whole number with its thousands apart.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number in few characters.
fn short(value: f64) -> String {
    const UNITS: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    for (unit, name) in UNITS {
        if value >= unit {
            return format!("{:.1} {name}", value / unit);
        }
    }
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

/// The same of bytes.
fn bytes(value: f64) -> String {
    let short = short(value);
    let space = if short.ends_with(|last: char| last.is_ascii_digit()) {
        " "
    } else {
        ""
    };
    format!("{short}{space}B")
}

/// Milliseconds in few characters.
fn milliseconds(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(ms) if ms >= 1_000.0 => format!("{:.1} s", ms / 1_000.0),
        Some(ms) if ms >= 10.0 => format!("{ms:.0} ms"),
        Some(ms) if ms >= 1.0 => format!("{ms:.1} ms"),
        Some(ms) => format!("{ms:.2} ms"),
    }
}

fn rate(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), short)
}

#[cfg(test)]
mod tests;
