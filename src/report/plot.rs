//! The plots of the report: SVG, drawn here. Colours are those of Okabe and Ito, which the colour-blind can tell apart; they are
//! never the only sign.

use std::fmt::Write;

use crate::report::escape::escaped;
use verdict::numbers::{grouped, time};
use verdict::report::{Outage, Plots};

const COLOURS: usize = 8;
const WIDTH: f64 = 900.0;
const LEFT: f64 = 62.0;

fn class(place: usize) -> String {
    format!("b{}", place % COLOURS)
}

/// A bar of a length of 0 to 1 on a track whose end is 1, with a mark.
pub(crate) fn bar(place: usize, length: f64, mark: Option<f64>) -> String {
    let mut svg = format!(
        "<svg viewBox=\"0 0 400 18\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"track\" width=\"400\" height=\"18\" rx=\"2\"/>\
         <rect class=\"{}\" width=\"{:.1}\" height=\"18\" rx=\"2\"/>",
        class(place),
        length * 396.0
    );
    if let Some(mark) = mark {
        let x = mark * 396.0 + 1.0;
        let _ = write!(svg, "<line class=\"expected\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"18\"/>");
    }
    svg + "</svg>"
}

/// The colours of the backends.
pub(crate) fn legend(out: &mut String, names: &[&str]) {
    out.push_str("<ul class=\"legend\">");
    for (place, name) in names.iter().enumerate() {
        let _ = write!(out, "<li><span class=\"{}\"></span>{}</li>", class(place), escaped(name));
    }
    out.push_str("</ul>\n");
}

/// A cell a request; each names its backend when pointed at.
pub(crate) fn strip(out: &mut String, strip: &[Option<u16>], names: &[&str]) {
    const COLUMNS: usize = 40;
    const CELL: f64 = 22.5;
    let rows = strip.len().div_ceil(COLUMNS);
    let height = rows as f64 * (CELL + 1.0);
    let _ = write!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"which backend was selected for each of {} requests\">",
        strip.len()
    );
    for (index, place) in strip.iter().enumerate() {
        let (x, y) = ((index % COLUMNS) as f64 * CELL, (index / COLUMNS) as f64 * (CELL + 1.0));
        let (class, name) = match place {
            Some(place) => (class(usize::from(*place)), names.get(usize::from(*place)).copied().unwrap_or("?")),
            None => ("errors".to_owned(), "no backend"),
        };
        // Beside its colour each backend has a height of its own.
        let cut = place.map_or(0.0, |place| f64::from(place % 4) * 3.5);
        let _ = write!(
            out,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{:.1}\" width=\"{}\" height=\"{:.1}\"><title>{}: {}</title></rect>",
            y + cut,
            CELL - 1.0,
            CELL - cut,
            index + 1,
            escaped(name)
        );
    }
    out.push_str("</svg>\n");
    legend(out, names);
}

/// Answers a second, one backend upon the other, errors on top, the 99th percentile as a line below.
pub(crate) fn over_time(out: &mut String, plots: &Plots, outage: Option<&Outage>, names: &[&str]) {
    const HEIGHT: f64 = 220.0;
    const LOWER: f64 = 90.0;
    // Two lines of the names of steps.
    const HEADROOM: f64 = 30.0;
    let slices = &plots.slices;
    let total = slices.len() as f64 * plots.slice_seconds;
    // The last slice is shorter than the others.
    let whole = &slices[..slices.len().saturating_sub(1).max(1)];
    let of = |slice: &verdict::report::Slice| slice.responses.iter().sum::<u64>() + slice.errors;
    let most = whole.iter().map(of).max().unwrap_or(1).max(1) as f64;
    let x = |seconds: f64| LEFT + seconds / total * (WIDTH - LEFT);
    let y = |count: f64| HEIGHT - count / most * (HEIGHT - HEADROOM);
    let _ = write!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"responses of each backend and errors over {}, and the 99th percentile of the latency\">",
        HEIGHT + LOWER + 40.0,
        time(total)
    );
    windows(out, outage, total, &x, HEIGHT);
    for part in [0.0, 0.5, 1.0] {
        let (line, rate) = (y(most * part), most * part / plots.slice_seconds);
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{line:.1}\" y2=\"{line:.1}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}/s</text>",
            LEFT - 6.0,
            line + 4.0,
            grouped(rate.round() as u64)
        );
    }
    let width = (WIDTH - LEFT) / slices.len() as f64;
    for (index, slice) in whole.iter().enumerate() {
        let left = LEFT + index as f64 * width;
        let mut below = 0.0;
        let stack = slice
            .responses
            .iter()
            .enumerate()
            .map(|(place, count)| (class(place), names.get(place).copied().unwrap_or("?"), *count));
        for (class, name, count) in stack.chain([("errors".to_owned(), "errors", slice.errors)]) {
            if count > 0 {
                let top = y(below + count as f64);
                let _ = write!(
                    out,
                    "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.2}\" height=\"{:.1}\"><title>{:.2} s, {}: {count}</title></rect>",
                    (width - 0.5).max(0.5),
                    y(below) - top,
                    index as f64 * plots.slice_seconds,
                    escaped(name)
                );
                below += count as f64;
            }
        }
    }
    percentile_line(out, plots, &x, HEIGHT + 20.0, LOWER);
    time_axis(out, total, &x, HEIGHT + LOWER + 36.0);
    out.push_str("</svg>\n");
}

fn time_axis(out: &mut String, total: f64, x: &impl Fn(f64) -> f64, y: f64) {
    for part in 0..=4 {
        let seconds = total * f64::from(part) / 4.0;
        let anchor = if part == 4 { "end" } else { "middle" };
        let (x, time) = (x(seconds), time(seconds));
        let _ = write!(out, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\">{time}</text>");
    }
}

/// The time in which something was broken, and what was done.
fn windows(out: &mut String, outage: Option<&Outage>, total: f64, x: &impl Fn(f64) -> f64, height: f64) {
    let Some(outage) = outage else { return };
    let end = |from: f64| outage.steps.iter().map(|step| step.at).find(|at| *at > from).unwrap_or(total);
    if let Some(first) = outage.steps.first().filter(|_| !outage.backends.is_empty()) {
        let _ = write!(
            out,
            "<rect class=\"outage\" x=\"{:.1}\" y=\"0\" width=\"{:.1}\" height=\"{height}\"/>",
            x(first.at),
            x(end(first.at)) - x(first.at)
        );
    }
    for (index, step) in outage.steps.iter().enumerate() {
        let at = x(step.at.min(total));
        let _ = write!(
            out,
            "<line class=\"step\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"0\" y2=\"{height}\"/><text x=\"{:.1}\" y=\"{}\">{}</text>",
            at + 4.0,
            11 + index % 2 * 13,
            escaped(&step.what)
        );
    }
}

/// On a logarithmic scale: an outage is worth seeing next to usual responses.
fn percentile_line(out: &mut String, plots: &Plots, x: &impl Fn(f64) -> f64, top: f64, height: f64) {
    let known: Vec<(f64, f64)> = plots
        .slices
        .iter()
        .enumerate()
        .filter_map(|(index, slice)| Some(((index as f64 + 0.5) * plots.slice_seconds, slice.p99?.max(1e-6))))
        .collect();
    let (low, high) = known.iter().fold((f64::MAX, 0.0f64), |(low, high), (_, p99)| (low.min(*p99), high.max(*p99)));
    if known.len() < 2 {
        return;
    }
    let span = (high / low).ln().max(0.5);
    let y = |seconds: f64| top + height - (seconds / low).ln() / span * (height - 16.0);
    let _ =
        write!(out, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">p99</text>", LEFT - 6.0, top + height / 2.0 + 8.0);
    let points: Vec<String> = known.iter().map(|(at, p99)| format!("{:.1},{:.1}", x(*at), y(*p99))).collect();
    let _ = write!(out, "<polyline class=\"p99\" points=\"{}\"/>", points.join(" "));
    for (value, label) in [(low, time(low)), (high, time(high))] {
        let _ =
            write!(out, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", LEFT - 6.0, y(value) + 4.0);
    }
}

/// How many requests took how long, on a logarithmic scale of time.
pub(crate) fn histogram(out: &mut String, buckets: &[(f64, u64)]) {
    const HEIGHT: f64 = 140.0;
    let (Some((first, _)), Some((last, _))) = (buckets.first(), buckets.last()) else { return };
    let most = buckets.iter().map(|(_, count)| *count).max().unwrap_or(1) as f64;
    let (low, high) = ((first / 1.25).ln(), last.ln());
    let x = |seconds: f64| LEFT + (seconds.ln() - low) / (high - low).max(0.1) * (WIDTH - LEFT);
    let _ = write!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"distribution of the client's latency\">",
        HEIGHT + 24.0
    );
    for (upto, count) in buckets {
        let height = (*count as f64 / most * HEIGHT).max(1.0);
        let (left, right) = (x(upto / 1.25), x(*upto));
        let _ = write!(
            out,
            "<rect class=\"columns\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"><title>up to {}: {}</title></rect>",
            HEIGHT - height,
            (right - left - 1.0).max(1.0),
            time(*upto),
            grouped(*count)
        );
    }
    let _ = write!(out, "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{HEIGHT}\" y2=\"{HEIGHT}\"/>");
    for exponent in -6..=3 {
        let seconds = 10f64.powi(exponent);
        if seconds.ln() >= low && seconds.ln() <= high {
            let _ = write!(
                out,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                x(seconds),
                HEIGHT + 16.0,
                time(seconds)
            );
        }
    }
    out.push_str("</svg>\n");
}
