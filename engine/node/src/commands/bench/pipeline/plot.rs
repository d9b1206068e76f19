//! Plots of lines as SVG that needs nothing beside itself.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
/// Room around the plot for numbers, names and the legend.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 44.0;
/// Told apart by people who do not see all colours (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// One line.
pub struct Series {
    pub name: String,
    /// Bounds and ceilings, beside what was measured.
    pub is_dashed: bool,
    /// By x.
    pub points: Vec<(f64, f64)>,
}

/// One plot.
pub struct Plot {
    /// Of its file.
    pub name: &'static str,
    pub title: String,
    pub x: &'static str,
    pub y: &'static str,
    /// Equal ratios of x are equally far apart.
    pub is_log: bool,
    pub series: Vec<Series>,
}

/// From values to places.
struct Axes {
    x: (f64, f64),
    y: (f64, f64),
    is_log: bool,
}

impl Axes {
    fn of(plot: &Plot) -> Self {
        let points = || plot.series.iter().flat_map(|series| &series.points);
        let low = points().map(|point| point.0).fold(f64::INFINITY, f64::min);
        let high = points().map(|point| point.0).fold(f64::NEG_INFINITY, f64::max);
        let top = points().map(|point| point.1).fold(0.0, f64::max);
        let step = step(top);
        let x = if low < high { (low, high) } else { (low, low + 1.0) };
        Self {
            x,
            y: (0.0, (top / step).ceil().max(1.0) * step),
            is_log: plot.is_log,
        }
    }

    fn x(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.is_log { value.ln() } else { value };
        let (low, high) = (scale(self.x.0), scale(self.x.1));
        LEFT + (scale(value) - low) / (high - low) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - (value - self.y.0) / (self.y.1 - self.y.0) * (HEIGHT - TOP - BOTTOM)
    }
}

/// A round distance between lines of a grid: four to ten of them up to `top`.
fn step(top: f64) -> f64 {
    if top <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf((top / 4.0).log10().floor());
    [5.0, 2.0, 1.0]
        .into_iter()
        .map(|times| times * power)
        .find(|step| top / step >= 4.0)
        .unwrap_or(power)
}

fn ticks(low: f64, high: f64) -> impl Iterator<Item = f64> {
    let step = step(high - low);
    let first = (low / step).ceil();
    (0..)
        .map(move |n| (first + f64::from(n)) * step)
        .take_while(move |tick| *tick <= high * (1.0 + 1e-9))
}

fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Text with what HTML reads as markup written out.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

impl Plot {
    /// The picture.
    pub fn svg(&self) -> String {
        let axes = Axes::of(self);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"18\" font-weight=\"bold\">{}</text>\n",
            escape(&self.title)
        );
        self.grid(&axes, &mut svg);
        let mut legend = LEFT;
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            draw(series, colour, &axes, &mut svg);
            let dashes = if series.is_dashed {
                " stroke-dasharray=\"5 4\""
            } else {
                ""
            };
            let _ = writeln!(
                svg,
                "<path d=\"M{legend} 38h22\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>\
                 <text x=\"{}\" y=\"42\">{}</text>",
                legend + 27.0,
                escape(&series.name)
            );
            legend += 45.0 + 6.6 * series.name.chars().count() as f64;
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn grid(&self, axes: &Axes, svg: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in ticks(axes.y.0, axes.y.1) {
            let y = axes.y(tick);
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                number(tick)
            );
        }
        let at: Vec<f64> = if self.is_log {
            let round = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
            let inside = |tick: &f64| (axes.x.0..=axes.x.1).contains(tick);
            round.into_iter().filter(inside).collect()
        } else {
            ticks(axes.x.0, axes.x.1).collect()
        };
        for tick in at {
            let x = axes.x(tick);
            let _ = writeln!(
                svg,
                "<path d=\"M{x:.1} {bottom}v5\" stroke=\"#888\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 18.0,
                number(tick)
            );
        }
        let middle = f64::midpoint(TOP, bottom);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {bottom}H{right}\" stroke=\"#888\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
             <text transform=\"translate(14 {middle}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            f64::midpoint(LEFT, right),
            HEIGHT - 8.0,
            escape(self.x),
            escape(self.y)
        );
    }
}

fn draw(series: &Series, colour: &str, axes: &Axes, svg: &mut String) {
    let places = series.points.iter();
    let places: Vec<String> = places
        .map(|(x, y)| format!("{:.1},{:.1}", axes.x(*x), axes.y(*y)))
        .collect();
    let dashes = if series.is_dashed {
        " stroke-dasharray=\"5 4\""
    } else {
        ""
    };
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"{dashes}/>",
        places.join(" ")
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_has_four_to_ten_lines_at_round_numbers() {
        for top in [0.03, 0.9, 1.0, 4.0, 7.0, 99.0, 12_345.0] {
            let step = step(top);
            let lines = top / step;
            assert!((4.0..=10.0).contains(&lines), "{top}: {lines}");
        }
        let at: Vec<String> = ticks(0.0, 2.0).map(number).collect();
        assert_eq!(at, ["0", "0.5", "1", "1.5", "2"]);
    }

    #[test]
    fn places_are_inside_the_picture() {
        let plot = Plot {
            name: "test",
            title: "a < b".to_owned(),
            x: "x",
            y: "y",
            is_log: true,
            series: vec![Series {
                name: "one".to_owned(),
                is_dashed: false,
                points: vec![(0.1, 0.0), (1.0, 1.7), (4.0, 2.0)],
            }],
        };
        let axes = Axes::of(&plot);
        assert_eq!((axes.x(0.1), axes.x(4.0)), (LEFT, WIDTH - RIGHT));
        assert_eq!((axes.y(0.0), axes.y(2.0)), (HEIGHT - BOTTOM, TOP));
        assert!(plot.svg().contains("a &lt; b"));
    }
}
