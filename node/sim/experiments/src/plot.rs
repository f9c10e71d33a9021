//! A line plot as SVG: the measured values, and axes with their units. Lines differ in colour and in their marks, so that
//! a print without colour can be read.

use std::fmt::Write as _;

/// Colours that colour-blind readers can distinguish (Okabe and Ito).
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#b8a800"];
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 520.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 380.0;

/// One plot.
#[derive(Clone, Debug)]
pub struct Plot {
    title: String,
    x: Axis,
    y: Axis,
    lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// One axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// The shown quantity, with its unit.
    pub label: String,
    /// Whether the scale is logarithmic.
    pub log: bool,
    /// The least and the greatest shown value; values beyond are left out.
    pub bounds: Option<(f64, f64)>,
}

impl Axis {
    /// An axis with a linear scale.
    #[must_use]
    pub fn linear(label: &str) -> Self {
        Self { label: label.into(), log: false, bounds: None }
    }

    /// An axis with a logarithmic scale.
    #[must_use]
    pub fn log(label: &str) -> Self {
        Self { label: label.into(), log: true, bounds: None }
    }

    /// The same, limited to these values.
    #[must_use]
    pub fn within(self, least: f64, most: f64) -> Self {
        Self { bounds: Some((least, most)), ..self }
    }

    fn place(&self, value: f64, (least, most): (f64, f64)) -> f64 {
        let scale = |value: f64| if self.log { value.max(1e-12).ln() } else { value };
        (scale(value) - scale(least)) / (scale(most) - scale(least))
    }

    /// The least and the greatest shown value.
    fn range(&self, values: impl Iterator<Item = f64>) -> (f64, f64) {
        let (least, most) = self.bounds.unwrap_or_else(|| {
            values.fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)))
        });
        if least < most { (least, most) } else { (least - 0.5, least + 0.5) }
    }

    fn ticks(&self, (least, most): (f64, f64)) -> Vec<f64> {
        if self.log {
            let decades = least.log10().floor() as i32..=most.log10().ceil() as i32;
            let all = decades.flat_map(|ten| [1.0, 2.0, 5.0].map(|one| one * 10f64.powi(ten)));
            return all.filter(|tick| (least..=most).contains(tick)).collect();
        }
        let rough = (most - least) / 5.0;
        let ten = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|one| one * ten).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(10.0 * ten);
        let first = (least / step).ceil();
        let count = ((most / step).floor() - first) as usize;
        (0..=count).map(|number| (first + number as f64) * step).collect()
    }
}

impl Plot {
    /// An empty plot.
    #[must_use]
    pub fn new(title: &str, x: Axis, y: Axis) -> Self {
        Self { title: title.into(), x, y, lines: Vec::new() }
    }

    /// Adds a line through these points, in this order.
    pub fn line(&mut self, name: &str, points: Vec<(f64, f64)>) {
        self.lines.push((name.into(), points));
    }

    /// Adds the cumulative distribution of these values: the share, in percent, that is at most x.
    pub fn cumulative(&mut self, name: &str, mut values: Vec<f64>) {
        values.sort_by(f64::total_cmp);
        let count = values.len().max(1);
        let step = (count / 200).max(1);
        let share = |place: usize| 100.0 * (place + 1) as f64 / count as f64;
        let points = values.iter().enumerate().filter(|(place, _)| place % step == 0 || place + 1 == count);
        self.line(name, points.map(|(place, value)| (*value, share(place))).collect());
    }

    /// The plot as SVG.
    #[must_use]
    pub fn svg(&self) -> String {
        let all = || self.lines.iter().flat_map(|(_, points)| points);
        let x = self.x.range(all().map(|(x, _)| *x));
        let y = self.y.range(all().map(|(_, y)| *y));
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{}</text>\n",
            escaped(&self.title)
        );
        self.axes(&mut out, x, y);
        for (number, (name, points)) in self.lines.iter().enumerate() {
            let shown = |value: f64, (least, most): (f64, f64)| (least..=most).contains(&value);
            let inside = points.iter().filter(|(at, value)| shown(*at, x) && shown(*value, y));
            let places: Vec<(f64, f64)> = inside.map(|point| self.place(*point, x, y)).collect();
            draw_line(&mut out, number, name, &places);
        }
        out.push_str("</svg>\n");
        out
    }

    fn place(&self, (at, value): (f64, f64), x: (f64, f64), y: (f64, f64)) -> (f64, f64) {
        let across = LEFT + self.x.place(at, x) * (RIGHT - LEFT);
        (across, BOTTOM - self.y.place(value, y) * (BOTTOM - TOP))
    }

    fn axes(&self, out: &mut String, x: (f64, f64), y: (f64, f64)) {
        let mut text = String::new();
        for tick in self.x.ticks(x) {
            let (at, _) = self.place((tick, y.0), x, y);
            let _ = writeln!(
                text,
                "<path d=\"M{at:.1} {TOP}V{BOTTOM}\" stroke=\"#ddd\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                BOTTOM + 16.0,
                number(tick)
            );
        }
        for tick in self.y.ticks(y) {
            let (_, at) = self.place((x.0, tick), x, y);
            let _ = writeln!(
                text,
                "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"#ddd\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                at + 4.0,
                number(tick)
            );
        }
        let (middle, centre) = ((LEFT + RIGHT) / 2.0, (TOP + BOTTOM) / 2.0);
        let _ = write!(
            text,
            "<path d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\" stroke=\"black\" fill=\"none\"/>\n\
             <text x=\"{middle}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n\
             <text transform=\"translate(18 {centre}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
            BOTTOM + 40.0,
            escaped(&self.x.label),
            escaped(&self.y.label)
        );
        out.push_str(&text);
    }
}

fn draw_line(out: &mut String, order: usize, name: &str, places: &[(f64, f64)]) {
    let colour = COLOURS[order % COLOURS.len()];
    let dash = ["", "6 3", "2 3"][order / COLOURS.len() % 3];
    let joined: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let key = TOP + 8.0 + 20.0 * order as f64;
    let (from, to) = (RIGHT + 12.0, RIGHT + 36.0);
    let _ = write!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\" stroke-dasharray=\"{dash}\"/>\n\
         <path d=\"M{from} {key}H{to}\" stroke=\"{colour}\" stroke-width=\"1.8\" stroke-dasharray=\"{dash}\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
        joined.join(" "),
        to + 6.0,
        key + 4.0,
        escaped(name)
    );
    // Marks where points were measured; a curve of many points needs none.
    if places.len() <= 24 {
        for (x, y) in places {
            let _ = match order % 3 {
                0 => writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"),
                1 => writeln!(
                    out,
                    "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"6\" height=\"6\" fill=\"{colour}\"/>",
                    x - 3.0,
                    y - 3.0
                ),
                _ => writeln!(out, "<path d=\"M{x:.1} {:.1}l4 7h-8z\" fill=\"{colour}\"/>", y - 4.0),
            };
        }
    }
}

fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_string()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(
            Axis::linear("s").ticks((0.0, 1.0)).iter().map(|t| number(*t)).collect::<Vec<_>>(),
            ["0", "0.2", "0.4", "0.6", "0.8", "1"]
        );
        assert_eq!(Axis::log("s").ticks((0.9, 20.0)), [1.0, 2.0, 5.0, 10.0, 20.0]);
    }

    #[test]
    fn a_point_lies_where_its_value_says() {
        let mut plot = Plot::new("a < b", Axis::linear("x"), Axis::linear("y"));
        plot.line("one", vec![(0.0, 0.0), (10.0, 5.0)]);
        let svg = plot.svg();
        assert!(svg.contains(&format!("points=\"{LEFT:.1},{BOTTOM:.1} {RIGHT:.1},{TOP:.1}\"")), "{svg}");
        assert!(svg.contains("a &lt; b"));
        plot.cumulative("two", vec![3.0, 1.0, 2.0, 4.0]);
        assert_eq!(plot.lines[1].1, [(1.0, 25.0), (2.0, 50.0), (3.0, 75.0), (4.0, 100.0)]);
    }
}
