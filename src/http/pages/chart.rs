//! Charts as SVG, for a glance: whoever wants the numbers, or does not see, has the table beside. Labels are text around the
//! drawing, so that it can be stretched to any width.

use maud::{Markup, html};

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 200.0;

/// One line or one layer of columns.
pub struct Layer<'a> {
    /// What it shows.
    pub name: &'a str,
    /// A value for each place of the axis.
    pub values: Vec<f64>,
}

/// Lines over an axis. From the place `open` on they are dotted: not over yet.
pub fn lines(layers: &[Layer<'_>], axis: &[String], open: Option<usize>, unit: &str) -> Markup {
    if axis.len() == 1 && layers.len() == 1 {
        // A line needs two points.
        return columns(layers, axis, unit);
    }
    let top = nice(layers.iter().flat_map(|l| l.values.iter()).copied().fold(0.0, f64::max));
    let step = WIDTH / axis.len().max(1) as f64;
    let point = |at: usize, value: f64| {
        format!("{:.1},{:.1}", (at as f64 + 0.5) * step, HEIGHT - value / top * HEIGHT)
    };
    let path = |values: &[f64], from: usize, to: usize| {
        let points = values.iter().enumerate().take(to).skip(from);
        points.map(|(at, value)| point(at, *value)).collect::<Vec<_>>().join(" ")
    };
    let drawing = html! {
        @for (at, layer) in layers.iter().enumerate() {
            @let closed = open.unwrap_or(layer.values.len()).min(layer.values.len());
            g class=(format!("c{}", at % COLOURS)) {
                @if layers.len() == 1 && closed > 1 {
                    polygon.area points=(format!("{} {} {}", point(0, 0.0), path(&layer.values, 0, closed), point(closed - 1, 0.0))) {}
                }
                polyline points=(path(&layer.values, 0, closed)) {}
                @if closed < layer.values.len() { polyline.open points=(path(&layer.values, closed.saturating_sub(1), layer.values.len())) {} }
            }
        }
    };
    figure(&drawing, layers, axis, top, unit)
}

/// Columns over an axis, one layer on the other.
pub fn columns(layers: &[Layer<'_>], axis: &[String], unit: &str) -> Markup {
    let sum = |at: usize| layers.iter().filter_map(|l| l.values.get(at)).sum::<f64>();
    let top = nice((0..axis.len()).map(sum).fold(0.0, f64::max));
    let step = WIDTH / axis.len().max(1) as f64;
    let drawing = html! {
        @for at in 0..axis.len() {
            @for (number, layer) in layers.iter().enumerate() {
                @let below: f64 = layers.iter().take(number).filter_map(|l| l.values.get(at)).sum();
                @let value = layer.values.get(at).copied().unwrap_or(0.0).max(0.0);
                @if value > 0.0 {
                    rect class=(format!("c{}", number % COLOURS)) x=(format!("{:.2}", (at as f64 + 0.1) * step)) width=(format!("{:.2}", step * 0.8))
                        y=(format!("{:.2}", HEIGHT - (below + value) / top * HEIGHT)) height=(format!("{:.2}", value / top * HEIGHT)) {}
                }
            }
        }
    };
    figure(&drawing, layers, axis, top, unit)
}

/// Colours that the style has for layers.
const COLOURS: usize = 6;

fn figure(drawing: &Markup, layers: &[Layer<'_>], axis: &[String], top: f64, unit: &str) -> Markup {
    // Few enough labels not to touch on a telephone.
    let every = axis.len().div_ceil(6).max(1);
    html! {
        div.chart aria-hidden="true" {
            @if layers.len() > 1 {
                ul.legend { @for (at, layer) in layers.iter().enumerate() { li class=(format!("c{}", at % COLOURS)) { (layer.name) } } }
            }
            div.plot {
                div.ys { @for part in [1.0, 0.5, 0.0] { span { (short(top * part)) (unit) } } }
                svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" {
                    @for part in [0.0, 0.5, 1.0] { line.grid x1="0" x2=(WIDTH) y1=(HEIGHT * part) y2=(HEIGHT * part) {} }
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
    let (number, unit) = match value {
        v if v >= 1e9 => (v / 1e9, "G"),
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e4 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let text = format!("{number:.2}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
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
    fn empty_charts_are_drawn_too() {
        let none = lines(&[Layer { name: "a", values: Vec::new() }], &[], None, "").into_string();
        assert!(!none.contains("NaN") && !columns(&[], &[], "").into_string().contains("NaN"));
        assert!(!bar(0, 0, 0, 0).into_string().contains("NaN"));
    }
}
