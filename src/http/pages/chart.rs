//! Charts as SVG, for a glance: whoever wants the numbers, or does not see, has the table beside. Labels are text around the
//! drawing, so that it can be stretched to any width.

use maud::{Markup, html};

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 200.0;

/// One line or one layer of columns.
pub struct Layer<'a> {
    /// What it shows.
    pub name: &'a str,
    /// A value for each place of the axis; NaN where there is none.
    pub values: Vec<f64>,
}

/// Lines over an axis. From the place `open` on they are dotted: not over yet.
pub fn lines(layers: &[Layer<'_>], axis: &[String], open: Option<usize>, unit: &str) -> Markup {
    if axis.len() == 1 && layers.len() == 1 {
        // A line needs two points.
        return columns(layers, axis, open, unit);
    }
    let scale = Scale::of(layers.iter().flat_map(|l| l.values.iter()).copied().filter(|v| !v.is_nan()));
    let step = WIDTH / axis.len().max(1) as f64;
    let point = |at: f64, value: f64| format!("{:.1},{:.1}", (at + 0.5) * step, scale.y(value));
    let path = |run: &[(usize, f64)]| match run {
        // One alone is a short line.
        [(at, value)] => format!("{} {}", point(*at as f64 - 0.2, *value), point(*at as f64 + 0.2, *value)),
        run => run.iter().map(|(at, value)| point(*at as f64, *value)).collect::<Vec<_>>().join(" "),
    };
    let drawing = html! {
        @for (at, layer) in layers.iter().enumerate() {
            @let closed = open.unwrap_or(layer.values.len()).min(layer.values.len());
            g class=(format!("c{}", at % COLOURS)) {
                @for run in runs(&layer.values, 0, closed) {
                    @if let (1, [(first, _), .., (last, _)]) = (layers.len(), run.as_slice()) {
                        polygon.area points=(format!("{} {} {}", point(*first as f64, 0.0), path(&run), point(*last as f64, 0.0))) {}
                    }
                    polyline points=(path(&run)) {}
                }
                // It begins where the closed part ends.
                @for run in runs(&layer.values, closed.saturating_sub(1), layer.values.len()) {
                    @if run.last().is_some_and(|(at, _)| *at >= closed) { polyline.open points=(path(&run)) {} }
                }
            }
        }
    };
    figure(&drawing, layers, axis, &scale, unit)
}

/// The values of some places, each with its place, cut where there are none.
fn runs(values: &[f64], from: usize, to: usize) -> Vec<Vec<(usize, f64)>> {
    let placed: Vec<(usize, f64)> = values.iter().copied().enumerate().take(to).skip(from).collect();
    let runs = placed.split(|(_, value)| value.is_nan());
    runs.filter(|run| !run.is_empty()).map(<[_]>::to_vec).collect()
}

/// Columns over an axis, one layer on the other: amounts up from the line of zero, and what is less than nothing down from it. From
/// the place `open` on they are pale: not over yet.
pub fn columns(layers: &[Layer<'_>], axis: &[String], open: Option<usize>, unit: &str) -> Markup {
    let value = |number: usize, at: usize| {
        layers[number].values.get(at).copied().filter(|v| !v.is_nan()).unwrap_or(0.0)
    };
    let same_sign = |at: usize, up: bool, layers: usize| -> f64 {
        (0..layers).map(|number| value(number, at)).filter(|value| (*value > 0.0) == up).sum()
    };
    let ends = (0..axis.len()).flat_map(|at| [true, false].map(|up| same_sign(at, up, layers.len())));
    let scale = Scale::of(ends);
    let step = WIDTH / axis.len().max(1) as f64;
    let drawing = html! {
        @for at in 0..axis.len() {
            @let open = if open.is_some_and(|open| at >= open) { " open" } else { "" };
            @for number in 0..layers.len() {
                @let own = value(number, at);
                @let base = same_sign(at, own > 0.0, number);
                @let (above, below) = (scale.y(base.max(base + own)), scale.y(base.min(base + own)));
                @if own != 0.0 {
                    rect class=(format!("c{}{open}", number % COLOURS)) x=(format!("{:.2}", (at as f64 + 0.1) * step)) width=(format!("{:.2}", step * 0.8))
                        y=(format!("{above:.2}")) height=(format!("{:.2}", below - above)) {}
                }
            }
        }
    };
    figure(&drawing, layers, axis, &scale, unit)
}

/// What the height of a drawing stands for: so many equal parts above zero and below it.
struct Scale {
    part: f64,
    up: f64,
    down: f64,
}

impl Scale {
    /// One that values fit into, with two parts up to the largest; with four where some are below zero, so that these need not take half.
    /// Of whole numbers, such as people, the parts are whole too.
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (least, most, whole) = values.fold((0.0, 0.0, true), |(least, most, whole), v| {
            (f64::min(least, v), f64::max(most, v), whole && v.fract() == 0.0)
        });
        let part = |size: f64| if whole { (size - 1e-9).ceil() } else { size };
        if least == 0.0 {
            return Self { part: part(nice(most) / 2.0), up: 2.0, down: 0.0 };
        }
        let part = part(nice(f64::max(most, -least)) / 4.0);
        let parts = |value: f64| (value / part - 1e-9).ceil();
        Self { part, up: parts(most), down: parts(-least) }
    }

    /// How far under the top a value is.
    fn y(&self, value: f64) -> f64 {
        (self.up - value / self.part) / (self.up + self.down) * HEIGHT
    }

    /// The values between its parts, from the top down.
    fn marks(&self) -> impl Iterator<Item = f64> {
        (0..=(self.up + self.down) as u32).map(|mark| (self.up - f64::from(mark)) * self.part)
    }
}

/// Colours that the style has for layers.
const COLOURS: usize = 6;

fn figure(drawing: &Markup, layers: &[Layer<'_>], axis: &[String], scale: &Scale, unit: &str) -> Markup {
    // Few enough labels not to touch on a telephone.
    let every = axis.len().div_ceil(6).max(1);
    html! {
        div.chart aria-hidden="true" {
            @if layers.len() > 1 {
                ul.legend { @for (at, layer) in layers.iter().enumerate() { li class=(format!("c{}", at % COLOURS)) { (layer.name) } } }
            }
            div.plot {
                div.ys { @for mark in scale.marks() { span { (short(mark)) (unit) } } }
                svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" {
                    @for mark in scale.marks() {
                        @let (y, zero) = (format!("{:.2}", scale.y(mark)), scale.down > 0.0 && mark == 0.0);
                        line.grid.zero[zero] x1="0" x2=(WIDTH) y1=(y) y2=(y) {}
                    }
                    (drawing)
                }
                div.xs { @for (at, label) in axis.iter().enumerate() {
                    @if at % every != 0 { span {} } @else { span.less[at % (2 * every) != 0] { (label) } }
                } }
            }
        }
    }
}

/// The next number from `most` on that reads well on an axis.
fn nice(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let size = 10f64.powf(most.log10().floor());
    let factor =
        [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0].into_iter().find(|f| f * size >= most * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * size
}

/// A number in few letters.
fn short(value: f64) -> String {
    let sign = if value < 0.0 { "\u{2212}" } else { "" };
    let (number, unit) = match value.abs() {
        v if v >= 1e9 => (v / 1e9, "G"),
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e4 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let text = format!("{number:.2}");
    format!("{sign}{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// The parts of a bar, each a share of `whole`: who went on, who may still, and who did not.
pub fn bar(on: u64, open: u64, lost: u64, whole: u64) -> Markup {
    let share = |n: u64| if whole == 0 { 0.0 } else { n as f64 * 100.0 / whole as f64 };
    let (first, second) = (share(on), share(on + open));
    // Parts in percent of a drawing without units of its own: its hatching is not stretched.
    let text = |n: f64| format!("{n:.2}%");
    html! {
        svg.bar aria-hidden="true" {
            rect.on width=(text(first)) height="100%" {}
            rect.open x=(text(first)) width=(text(share(open))) height="100%" {}
            rect.lost x=(text(second)) width=(text(share(lost))) height="100%" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_numbers_that_read_well() {
        for (most, top) in
            [(0.0, 1.0), (0.49, 0.5), (7.0, 8.0), (35_100.66, 40_000.0), (100.0, 100.0), (2_001.0, 3_000.0)]
        {
            assert!((nice(most) - top).abs() < top * 1e-9, "{most}: {}", nice(most));
        }
        assert_eq!((short(40_000.0), short(0.5), short(1500.0)), ("40k".into(), "0.5".into(), "1500".into()));
    }

    #[test]
    fn axes_of_whole_numbers_have_whole_marks() {
        let marks = |values: &[f64]| Scale::of(values.iter().copied()).marks().collect::<Vec<_>>();
        assert_eq!(marks(&[15.0, 3.0]), [16.0, 8.0, 0.0]);
        assert_eq!((marks(&[1.0]), marks(&[])), (vec![2.0, 1.0, 0.0], vec![2.0, 1.0, 0.0]));
        assert_eq!((marks(&[15.0, 2.5]), marks(&[300.0])), (vec![15.0, 7.5, 0.0], vec![300.0, 150.0, 0.0]));
        assert_eq!(marks(&[5.0, -1.0]), [6.0, 4.0, 2.0, 0.0, -2.0]);
    }

    #[test]
    fn what_is_less_than_nothing_hangs_below_zero() {
        let values = vec![30.0, -40.0, 0.0];
        let drawn =
            columns(&[Layer { name: "total", values }], &["a", "b", "c"].map(str::to_owned), None, "")
                .into_string();
        // From 30 down to -40, in parts of 10.
        let expected = ["y=\"0.00\" height=\"85.71\"", "y=\"85.71\" height=\"114.29\""];
        assert!(
            expected.iter().all(|rect| drawn.contains(rect)) && drawn.matches("<rect").count() == 2,
            "{drawn}"
        );
    }

    #[test]
    fn lines_have_gaps_where_there_is_nothing() {
        let axis: Vec<String> = (0..6).map(|n| n.to_string()).collect();
        let values = vec![10.0, 20.0, f64::NAN, 30.0, f64::NAN, 40.0];
        let drawn = lines(&[Layer { name: "a", values }], &axis, Some(5), "").into_string();
        let count = |what: &str| drawn.matches(what).count();
        assert_eq!(
            (count("<polyline points"), count("<polyline class=\"open\""), count("<polygon")),
            (2, 1, 1),
            "{drawn}"
        );
        assert!(!drawn.contains("NaN"), "{drawn}");
        let all =
            lines(&[Layer { name: "a", values: vec![1.0, 2.0, 3.0] }], &axis[..3], Some(2), "").into_string();
        assert!(all.matches("<polyline").count() == 2 && all.contains("points=\"400.0,"), "{all}");
    }

    #[test]
    fn empty_charts_are_drawn_too() {
        let none = lines(&[Layer { name: "a", values: Vec::new() }], &[], None, "").into_string();
        assert!(!none.contains("NaN") && !columns(&[], &[], None, "").into_string().contains("NaN"));
        assert!(!bar(0, 0, 0, 0).into_string().contains("NaN"));
    }
}
