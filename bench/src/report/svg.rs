//! Draws lines and bars as SVG that looks right on light and on dark ground, in a page and on its own.
//!
//! It knows scales, ticks and colours, nothing of benchmarks. Our own, because what there is writes fixed
//! colours, or needs a script where it is read.
#![forbid(unsafe_code)]

use maud::{Markup, PreEscaped, html};

/// Size of a plot, in its own units.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 380.0;
/// Room around the plot area: top, right, bottom, left.
const MARGIN: [f64; 4] = [64.0, 34.0, 52.0, 70.0];
/// Colours that series may have; see [`STYLE`].
pub(crate) const COLORS: usize = 7;
/// More different numbers than these are not named one by one.
const TICKS_MAX: usize = 8;
/// A letter of the legend is about so wide.
const LETTER_WIDTH: f64 = 6.6;

/// What the classes of a plot mean. `--s0` to `--s6` are the colours of the series.
pub(crate) const STYLE: &str = "\
.plot{--ground:#fff;--ink:#1d2430;--soft:#5c6675;--line:#e3e7ed;--s0:#2468c8;--s1:#d2601a;--s2:#17865b;--s3:#8a4ac0;\
--s4:#a67c00;--s5:#c43a70;--s6:#5f6b7a;font:12px system-ui,-apple-system,'Segoe UI',sans-serif}\
@media(prefers-color-scheme:dark){.plot{--ground:#161b23;--ink:#e8ecf2;--soft:#9aa5b4;--line:#2c3440;--s0:#6aa5f5;\
--s1:#f2945a;--s2:#4cc395;--s3:#bd8df0;--s4:#dcb43c;--s5:#f07ba6;--s6:#a3afbe}}\
.plot .ground{fill:var(--ground)}.plot text{fill:var(--soft)}.plot .title{fill:var(--ink);font-size:15px;font-weight:600}\
.plot .strong{fill:var(--ink)}.plot .grid{stroke:var(--line);stroke-width:1}.plot .axis{stroke:var(--soft);stroke-width:1}\
.plot .curve{fill:none;stroke-width:2.2;stroke-linejoin:round}.plot .band{opacity:.16;stroke:none}\
.plot .hollow{fill:var(--ground);stroke-width:2}.plot .whisker{stroke:var(--ink);stroke-width:1.3}\
.plot .light{opacity:.5}.plot .unsound{opacity:.35;stroke:var(--ink);stroke-width:1;stroke-dasharray:4 3}\
.plot .f0{fill:var(--s0)}.plot .f1{fill:var(--s1)}.plot .f2{fill:var(--s2)}.plot .f3{fill:var(--s3)}\
.plot .f4{fill:var(--s4)}.plot .f5{fill:var(--s5)}.plot .f6{fill:var(--s6)}\
.plot .c0{stroke:var(--s0)}.plot .c1{stroke:var(--s1)}.plot .c2{stroke:var(--s2)}.plot .c3{stroke:var(--s3)}\
.plot .c4{stroke:var(--s4)}.plot .c5{stroke:var(--s5)}.plot .c6{stroke:var(--s6)}";

/// Where a value stands on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Evenly, from 0.
    Linear,
    /// By its logarithm.
    Log,
    /// A quantile below 1, by how rare it is: 90 %, 99 % and 99.9 % are as far apart.
    Rarity,
}

/// A line.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Below [`COLORS`].
    pub(crate) color: usize,
    pub(crate) points: Vec<Mark>,
}

/// A point of a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) x: f64,
    pub(crate) y: f64,
    /// Least and greatest of the rounds.
    pub(crate) spread: Option<(f64, f64)>,
    /// Whether its figures may be used.
    pub(crate) is_sound: bool,
}

/// Lines over an axis of numbers.
pub(crate) struct LinePlot {
    pub(crate) title: String,
    pub(crate) x_label: String,
    pub(crate) y_label: String,
    pub(crate) x_scale: Scale,
    pub(crate) y_scale: Scale,
    pub(crate) series: Vec<Series>,
    /// Whether each point is marked, not only the line, and named below it.
    pub(crate) has_marks: bool,
}

/// Bars in groups.
pub(crate) struct BarPlot {
    pub(crate) title: String,
    pub(crate) x_label: String,
    pub(crate) y_label: String,
    /// Names of the stacked parts, from below; empty where bars are whole.
    pub(crate) parts: Vec<String>,
    pub(crate) groups: Vec<(String, Vec<Bar>)>,
}

/// A bar.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) color: usize,
    /// From below.
    pub(crate) parts: Vec<f64>,
    /// Least and greatest of the whole.
    pub(crate) spread: Option<(f64, f64)>,
    /// Whether its figures may be used.
    pub(crate) is_sound: bool,
}

/// Maps values to places on the canvas.
struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.max(f64::MIN_POSITIVE).log10(),
            Self::Rarity => -(1.0 - value).max(1e-9).log10(),
        }
    }

    /// Values that get a line, with their names.
    fn ticks(self, low: f64, high: f64) -> Vec<(f64, String)> {
        match self {
            Self::Linear => {
                let step = nice((high - low) / 5.0);
                let count = ((high - low) / step).floor() as usize;
                (0..=count).map(|at| low + at as f64 * step).map(|value| (value, short(value))).collect()
            }
            Self::Log => {
                let decades = (low.log10().floor() as i32)..=(high.log10().ceil() as i32);
                let is_wide = (high / low).log10() > 2.5;
                let steps: &[f64] = if is_wide { &[1.0] } else { &[1.0, 2.0, 5.0] };
                decades
                    .flat_map(|decade| steps.iter().map(move |step| step * 10f64.powi(decade)))
                    .filter(|value| (low * 0.999..=high * 1.001).contains(value))
                    .map(|value| (value, short(value)))
                    .collect()
            }
            Self::Rarity => [
                (0.0, "0"),
                (0.5, "50 %"),
                (0.9, "90 %"),
                (0.99, "99 %"),
                (0.999, "99.9 %"),
                (0.9999, "99.99 %"),
            ]
            .into_iter()
            .filter(|(value, _)| *value <= high + 1e-9)
            .map(|(value, name)| (value, name.to_owned()))
            .collect(),
        }
    }
}

impl Axis {
    fn at(&self, value: f64) -> f64 {
        let (low, high) = (self.scale.place(self.low), self.scale.place(self.high));
        let share = if high > low { (self.scale.place(value) - low) / (high - low) } else { 0.5 };
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    fn ticks(&self) -> Vec<(f64, String)> {
        self.scale
            .ticks(self.low, self.high)
            .into_iter()
            .map(|(value, name)| (self.at(value), name))
            .collect()
    }
}

/// An axis of numbers from left to right.
fn across(scale: Scale, values: impl Iterator<Item = f64> + Clone) -> Axis {
    let (low, high) = bounds(scale, values);
    Axis { scale, low, high, from: MARGIN[3], to: WIDTH - MARGIN[1] }
}

/// An axis of numbers from below.
fn upward(scale: Scale, values: impl Iterator<Item = f64> + Clone) -> Axis {
    let (low, high) = bounds(scale, values);
    Axis { scale, low, high, from: HEIGHT - MARGIN[2], to: MARGIN[0] }
}

fn bounds(scale: Scale, values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let high = values.clone().fold(f64::MIN_POSITIVE, f64::max);
    match scale {
        Scale::Linear => (0.0, high * 1.08),
        Scale::Rarity => (0.0, high),
        Scale::Log => {
            let low = values.filter(|value| *value > 0.0).fold(high, f64::min);
            if high / low < 1.2 { (low / 1.5, high * 1.5) } else { (low / 1.08, high * 1.08) }
        }
    }
}

/// Draws lines.
pub(crate) fn lines(plot: &LinePlot) -> Markup {
    let marks = plot.series.iter().flat_map(|series| &series.points);
    let x = across(plot.x_scale, marks.clone().map(|mark| mark.x));
    let spread = |mark: &Mark| mark.spread.unwrap_or((mark.y, mark.y));
    let ys = marks.flat_map(|mark| [mark.y, spread(mark).0, spread(mark).1]);
    let y = upward(plot.y_scale, ys);
    let mut xs: Vec<f64> = plot.series.iter().flat_map(|series| &series.points).map(|mark| mark.x).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    let ticks = match plot.has_marks && xs.len() <= TICKS_MAX {
        true => xs.into_iter().map(|value| (x.at(value), short(value))).collect(),
        false => x.ticks(),
    };
    let is_sound = plot.series.iter().flat_map(|series| &series.points).all(|mark| mark.is_sound);
    let note = if is_sound { "" } else { "hollow: INVALID or OVER" };
    let entries: Vec<(String, usize)> =
        plot.series.iter().map(|series| (series.name.clone(), series.color)).collect();
    let inside = html! {
        @for (at, name) in ticks {
            line.grid x1=(f(at)) x2=(f(at)) y1=(MARGIN[0]) y2=(HEIGHT - MARGIN[2]) {}
            text x=(f(at)) y=(HEIGHT - MARGIN[2] + 17.0) text-anchor="middle" { (name) }
        }
        @for series in &plot.series {
            @if series.points.iter().any(|mark| mark.spread.is_some()) {
                path.band.{ "f" (series.color) } d=(band(series, &x, &y)) {}
            }
            path.curve.{ "c" (series.color) } d=(path(series.points.iter().map(|mark| (x.at(mark.x), y.at(mark.y))))) {}
            @if plot.has_marks {
                @for mark in &series.points {
                    @let class = if mark.is_sound { format!("f{}", series.color) } else { format!("hollow c{}", series.color) };
                    circle class=(class) cx=(f(x.at(mark.x))) cy=(f(y.at(mark.y))) r="4" {
                        title { (series.name) ": " (short(mark.y)) " at " (short(mark.x)) }
                    }
                }
            }
        }
    };
    frame(&plot.title, &plot.x_label, &plot.y_label, &y, &entries, note, inside)
}

/// Draws bars.
pub(crate) fn bars(plot: &BarPlot) -> Markup {
    let all = plot.groups.iter().flat_map(|(_, bars)| bars);
    let height = |bar: &Bar| bar.parts.iter().sum::<f64>();
    let y = upward(
        Scale::Linear,
        all.clone().map(|bar| bar.spread.map_or(height(bar), |spread| spread.1.max(height(bar)))),
    );
    let mut entries: Vec<(String, usize)> = Vec::new();
    for bar in all.clone() {
        if !entries.iter().any(|(name, _)| *name == bar.name) {
            entries.push((bar.name.clone(), bar.color));
        }
    }
    let mut notes = Vec::new();
    if let [first, rest @ ..] = plot.parts.as_slice() {
        notes.push(format!("full: {first}, light: {}", rest.join(", ")));
    }
    if all.clone().any(|bar| !bar.is_sound) {
        notes.push("dashed: INVALID or OVER".to_owned());
    }
    let note = notes.join("; ");
    let group_width = (WIDTH - MARGIN[1] - MARGIN[3]) / plot.groups.len().max(1) as f64;
    let most = plot.groups.iter().map(|(_, bars)| bars.len()).max().unwrap_or(1).max(1);
    let bar_width = (group_width * 0.78 / most as f64).min(64.0);
    let inside = html! {
        @for (number, (name, bars)) in plot.groups.iter().enumerate() {
            @let middle = MARGIN[3] + group_width * (number as f64 + 0.5);
            @let left = middle - bar_width * bars.len() as f64 / 2.0;
            text x=(f(middle)) y=(HEIGHT - MARGIN[2] + 17.0) text-anchor="middle" { (name) }
            @for (at, bar) in bars.iter().enumerate() {
                (one_bar(bar, left + bar_width * at as f64, bar_width, &y))
            }
        }
    };
    frame(&plot.title, &plot.x_label, &plot.y_label, &y, &entries, &note, inside)
}

fn one_bar(bar: &Bar, left: f64, width: f64, y: &Axis) -> Markup {
    let whole: f64 = bar.parts.iter().sum();
    let center = left + width / 2.0;
    let top = bar.spread.map_or(whole, |spread| spread.1.max(whole));
    let mut below = 0.0;
    html! {
        @for (at, part) in bar.parts.iter().enumerate() {
            @let from = below;
            @let () = below += part;
            rect.{ "f" (bar.color) }.light[at > 0].unsound[!bar.is_sound] x=(f(left + 1.5)) width=(f(width - 3.0))
                y=(f(y.at(below))) height=(f(y.at(from) - y.at(below))) {
                title { (bar.name) ": " (short(*part)) " of " (short(whole)) }
            }
        }
        @if let Some((low, high)) = bar.spread {
            line.whisker x1=(f(center)) x2=(f(center)) y1=(f(y.at(low))) y2=(f(y.at(high))) {}
            @for end in [low, high] {
                line.whisker x1=(f(center - 4.0)) x2=(f(center + 4.0)) y1=(f(y.at(end))) y2=(f(y.at(end))) {}
            }
        }
        text.strong x=(f(center)) y=(f(y.at(top) - 6.0)) text-anchor="middle" { (short(whole)) }
    }
}

/// Ground, title, legend, the axis on the left and the labels; `inside` is drawn over the grid.
fn frame(
    title: &str,
    x_label: &str,
    y_label: &str,
    y: &Axis,
    entries: &[(String, usize)],
    note: &str,
    inside: Markup,
) -> Markup {
    let mut at = MARGIN[3];
    let places: Vec<f64> = entries
        .iter()
        .map(|(name, _)| {
            let place = at;
            at += name.chars().count() as f64 * LETTER_WIDTH + 30.0;
            place
        })
        .collect();
    let right = WIDTH - MARGIN[1];
    let ground = HEIGHT - MARGIN[2];
    html! {
        svg.plot xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(title) {
            style { (PreEscaped(STYLE)) }
            rect.ground width=(WIDTH) height=(HEIGHT) {}
            text.title x="16" y="24" { (title) }
            @for ((name, color), place) in entries.iter().zip(places) {
                rect.{ "f" (color) } x=(f(place)) y="37" width="11" height="11" rx="2" {}
                text.strong x=(f(place + 16.0)) y="47" { (name) }
            }
            text x=(right) y="24" text-anchor="end" { (note) }
            @for (at, name) in y.ticks() {
                line.grid x1=(MARGIN[3]) x2=(right) y1=(f(at)) y2=(f(at)) {}
                text x=(MARGIN[3] - 8.0) y=(f(at + 4.0)) text-anchor="end" { (name) }
            }
            (inside)
            line.axis x1=(MARGIN[3]) x2=(right) y1=(ground) y2=(ground) {}
            text x=(f((MARGIN[3] + right) / 2.0)) y=(HEIGHT - 12.0) text-anchor="middle" { (x_label) }
            text transform=(format!("translate(18 {}) rotate(-90)", f((MARGIN[0] + ground) / 2.0))) text-anchor="middle" { (y_label) }
        }
    }
}

fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let steps = points.enumerate();
    steps.map(|(at, (x, y))| format!("{}{} {}", if at == 0 { 'M' } else { 'L' }, f(x), f(y))).collect()
}

/// From the least along the line, and back along the greatest.
fn band(series: &Series, x: &Axis, y: &Axis) -> String {
    let spread = |mark: &Mark| mark.spread.unwrap_or((mark.y, mark.y));
    let low = series.points.iter().map(|mark| (x.at(mark.x), y.at(spread(mark).0)));
    let high = series.points.iter().rev().map(|mark| (x.at(mark.x), y.at(spread(mark).1)));
    path(low.chain(high)) + "Z"
}

/// A coordinate, to a tenth.
fn f(value: f64) -> String {
    format!("{value:.1}")
}

/// 1, 2 or 5 times a power of ten, at least `value`.
fn nice(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|step| *step >= value * 0.999)
        .unwrap_or(power)
}

/// A number as a person writes it: three digits.
pub(crate) fn short(value: f64) -> String {
    let (scaled, suffix) = match value.abs() {
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = match scaled.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{scaled:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let numbers = [0.0, 0.25, 3.0, 3.72345, 27.5, 512.4, 2375.0, 12_345.0, 3.2e6];
        assert_eq!(numbers.map(short), ["0", "0.25", "3", "3.72", "27.5", "512", "2375", "12.3k", "3.2M"]);
    }

    #[test]
    fn ticks_stand_at_round_numbers_within_the_axis() {
        let names = |scale: Scale, low, high| -> Vec<String> {
            scale.ticks(low, high).into_iter().map(|(_, name)| name).collect()
        };
        assert_eq!(names(Scale::Linear, 0.0, 9.4), ["0", "2", "4", "6", "8"]);
        assert_eq!(names(Scale::Log, 50.0, 1000.0), ["50", "100", "200", "500", "1000"]);
        assert_eq!(names(Scale::Log, 1.0, 1e4), ["1", "10", "100", "1000", "10k"]);
        assert_eq!(names(Scale::Rarity, 0.0, 0.999), ["0", "50 %", "90 %", "99 %", "99.9 %"]);
    }

    #[test]
    fn equal_steps_of_rarity_are_equally_far() {
        let axis = Axis { scale: Scale::Rarity, low: 0.0, high: 0.9999, from: 0.0, to: 400.0 };
        let places = [0.0, 0.9, 0.99, 0.999, 0.9999].map(|quantile| axis.at(quantile).round());
        assert_eq!(places, [0.0, 100.0, 200.0, 300.0, 400.0]);
    }

    #[test]
    fn a_name_from_a_file_cannot_break_out_of_the_drawing() {
        let series = Series { name: "<script>".to_owned(), color: 0, points: Vec::new() };
        let plot = LinePlot {
            title: "a & b".to_owned(),
            x_label: String::new(),
            y_label: String::new(),
            x_scale: Scale::Linear,
            y_scale: Scale::Log,
            series: vec![series],
            has_marks: true,
        };
        let drawn = lines(&plot).into_string();
        assert!(
            !drawn.contains("<script>") && drawn.contains("&lt;script&gt;") && drawn.contains("a &amp; b")
        );
        assert!(!drawn.contains("NaN"), "{drawn}");
        for element in ["svg", "rect", "line", "path", "text", "style"] {
            let (opened, closed) = (format!("<{element}"), format!("</{element}>"));
            assert_eq!(
                drawn.matches(&opened).count(),
                drawn.matches(&closed).count(),
                "{element} is left open"
            );
        }
    }
}
