//! Plots as SVG: panels beside each other, a legend below each, an axis either linear or logarithmic.

use std::error::Error;
use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

/// The palette of Okabe and Ito (2008), which people of any colour vision tell apart.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
    RGBColor(120, 120, 120),
];

/// In pixels.
const PANEL_WIDTH: u32 = 480;
const PANEL_HEIGHT: u32 = 360;
const TITLE_HEIGHT: u32 = 34;
const LEGEND_ROW: i32 = 18;
const LEGEND_COLUMNS: usize = 2;

/// A line of so few points shows them.
const DOTS_MAX: usize = 8;

/// Named points, in the order of x.
#[derive(Clone, Debug)]
pub struct Line {
    /// For the legend.
    pub name: String,
    /// x and y.
    pub points: Vec<(f64, f64)>,
}

/// How an axis runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// From 0 on.
    Linear,
    /// What is not above 0 is not drawn.
    Logarithmic,
}

/// An axis.
#[derive(Clone, Copy, Debug)]
pub struct Axis<'a> {
    /// What it counts, and in which unit.
    pub label: &'a str,
    /// How it runs.
    pub scale: Scale,
}

/// One system of coordinates with its lines.
#[derive(Clone, Copy, Debug)]
pub struct Panel<'a> {
    /// What it shows.
    pub title: &'a str,
    /// The horizontal axis.
    pub x: Axis<'a>,
    /// The vertical axis.
    pub y: Axis<'a>,
    /// What is drawn.
    pub lines: &'a [Line],
}

/// Draws the panels into a file, two beside each other. The same lines make the same file.
///
/// # Errors
///
/// When the file cannot be written.
pub fn draw(path: &Path, title: &str, panels: &[Panel<'_>]) -> Result<(), Box<dyn Error>> {
    let mut svg = String::new();
    let columns = panels.len().clamp(1, 2);
    let rows = panels.len().div_ceil(columns);
    let size = (
        PANEL_WIDTH * u32::try_from(columns)?,
        TITLE_HEIGHT + PANEL_HEIGHT * u32::try_from(rows)?,
    );
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        let below = root.titled(title, ("sans-serif", 18))?;
        for (area, panel) in below.split_evenly((rows, columns)).iter().zip(panels) {
            panel.draw(area)?;
        }
        root.present()?;
    }
    std::fs::write(path, svg)?;
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

impl Panel<'_> {
    fn draw(&self, area: &Area<'_>) -> Result<(), Box<dyn Error>> {
        let legend_rows = self.lines.len().div_ceil(LEGEND_COLUMNS);
        let legend_height = LEGEND_ROW * i32::try_from(legend_rows)? + 8;
        let height = i32::try_from(area.dim_in_pixel().1)?;
        let (chart, legend) = area.split_vertically(height - legend_height);
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = Marked::around(self.x.scale, points().map(|point| point.0));
        let y = Marked::around(self.y.scale, points().map(|point| point.1));
        let mut chart = ChartBuilder::on(&chart)
            .caption(self.title, ("sans-serif", 14))
            .margin(6)
            .margin_right(16)
            .x_label_area_size(40)
            .y_label_area_size(58)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .label_style(("sans-serif", 11))
            .axis_desc_style(("sans-serif", 12))
            .x_desc(self.x.label)
            .y_desc(self.y.label)
            .draw()?;
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let points = line.points.iter().copied();
            chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?;
            if line.points.len() <= DOTS_MAX {
                chart.draw_series(points.map(|at| Circle::new(at, 3, colour.filled())))?;
            }
        }
        self.explain(&legend)
    }

    /// The legend.
    fn explain(&self, area: &Area<'_>) -> Result<(), Box<dyn Error>> {
        let column = i32::try_from(area.dim_in_pixel().0)? / i32::try_from(LEGEND_COLUMNS)?;
        for (index, (line, colour)) in self.lines.iter().zip(COLOURS.iter().cycle()).enumerate() {
            let x = column * i32::try_from(index % LEGEND_COLUMNS)? + 20;
            let y = LEGEND_ROW * i32::try_from(index / LEGEND_COLUMNS)? + 8;
            let stroke = PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2));
            area.draw(&stroke)?;
            let name = Text::new(line.name.as_str(), (x + 24, y - 6), ("sans-serif", 12));
            area.draw(&name)?;
        }
        Ok(())
    }
}

/// An axis as plotters wants it: with marks at round values.
struct Marked {
    scale: Scale,
    values: Range<f64>,
    marks: Vec<f64>,
}

impl Marked {
    /// An axis that holds all values.
    fn around(scale: Scale, values: impl Iterator<Item = f64>) -> Self {
        let drawn = values.filter(|value| *value > 0.0 || scale == Scale::Linear);
        let found = drawn.map(|value| (value, value));
        let (least, greatest) = found
            .reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))
            .unwrap_or((1.0, 1.0));
        let (values, marks) = match scale {
            Scale::Linear => {
                let end = if greatest > 0.0 { greatest * 1.05 } else { 1.0 };
                (0.0..end, linear_marks(end))
            }
            Scale::Logarithmic => {
                let values = least / 1.2..greatest * 1.2;
                let marks = logarithmic_marks(&values);
                (values, marks)
            }
        };
        Self {
            scale,
            values,
            marks,
        }
    }
}

impl Ranged for Marked {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, pixels: (i32, i32)) -> i32 {
        let place = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Logarithmic => value.max(f64::MIN_POSITIVE).ln(),
        };
        let (start, end) = (place(self.values.start), place(self.values.end));
        let places: RangedCoordf64 = (start..end).into();
        places.map(&place(*value), pixels)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.marks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.values.clone()
    }
}

impl ValueFormatter<f64> for Marked {
    fn format(value: &f64) -> String {
        figure(*value)
    }
}

/// Multiples of a round step from 0 on, some five of them.
fn linear_marks(end: f64) -> Vec<f64> {
    let power = 10_f64.powf((end / 5.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|times| times * power);
    let step = steps.into_iter().find(|step| end / step <= 6.0);
    let step = step.unwrap_or(end);
    std::iter::successors(Some(0.0), |at| Some(at + step))
        .take_while(|at| *at <= end)
        .collect()
}

/// Powers of ten, and the more of their multiples the fewer of them there are.
fn logarithmic_marks(values: &Range<f64>) -> Vec<f64> {
    let decades = (values.end / values.start).log10();
    let factors: &[f64] = match decades {
        many if many > 3.5 => &[1.0],
        some if some > 1.0 => &[1.0, 2.0, 5.0],
        _ => &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0],
    };
    let first = 10_f64.powf(values.start.log10().floor());
    std::iter::successors(Some(first), |power| Some(power * 10.0))
        .take_while(|power| *power <= values.end)
        .flat_map(|power| factors.iter().map(move |factor| power * factor))
        .filter(|mark| values.contains(mark))
        .collect()
}

/// A round number, with a unit of a thousand where it is long.
fn figure(value: f64) -> String {
    let rounded = |value: f64| {
        let text = format!("{value:.3}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match value {
        millions if millions >= 999_999.5 => format!("{}M", rounded(millions / 1e6)),
        thousands if thousands >= 9_999.5 => format!("{}k", rounded(thousands / 1e3)),
        _ => rounded(value),
    }
}
