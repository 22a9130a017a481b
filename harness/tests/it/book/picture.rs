//! A terminal's screen as a picture: SVG that needs nothing but a font whose letters are all as wide.

use std::fmt::Write;

use vt100::{Color, Screen};

/// A letter, in pixels.
const WIDTH: f64 = 8.4;
const HEIGHT: f64 = 18.0;
/// Around the text.
const MARGIN: f64 = 14.0;
/// What terminals have for the first sixteen colours.
const COLOURS: [&str; 16] = [
    "#1d2021", "#ea6962", "#a9b665", "#d8a657", "#7daea3", "#d3869b", "#89b482", "#d4be98", "#928374",
    "#ef938e", "#bbc585", "#e1bb7e", "#9dc2ba", "#e1acbb", "#a7c7a2", "#e2d3ba",
];

fn colour(of: Color, otherwise: &str) -> String {
    match of {
        Color::Default => otherwise.to_owned(),
        Color::Idx(index @ 0..16) => COLOURS[usize::from(index)].to_owned(),
        Color::Idx(index @ 232..) => format!("#{0:02x}{0:02x}{0:02x}", 8 + (index - 232) * 10),
        Color::Idx(index) => {
            let part = |unit: u8| [0, 95, 135, 175, 215, 255][usize::from((index - 16) / unit % 6)];
            format!("#{:02x}{:02x}{:02x}", part(36), part(6), part(1))
        }
        Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
    }
}

/// A row's pieces that look alike: column, look, text.
fn pieces(screen: &Screen, row: u16) -> Vec<(u16, String, String)> {
    let mut pieces: Vec<(u16, String, String)> = vec![];
    for column in 0..screen.size().1.get() {
        let Some(cell) = screen.cell(row, column).filter(|cell| cell.has_contents()) else {
            if let Some((_, _, text)) = pieces.last_mut() {
                text.push(' ');
            }
            continue;
        };
        let weight = if cell.bold() { " font-weight=\"bold\"" } else { "" };
        let dim = if cell.dim() { " opacity=\"0.6\"" } else { "" };
        let look = format!("fill=\"{}\"{weight}{dim}", colour(cell.fgcolor(), "#ebdbb2"));
        let text = cell.contents().replace('&', "&amp;").replace('<', "&lt;");
        match pieces.last_mut() {
            Some((_, last, before)) if *last == look => before.push_str(&text),
            _ => pieces.push((column, look, text)),
        }
    }
    pieces
}

/// The screen as SVG, without empty rows at its end.
pub(crate) fn svg(screen: &Screen, title: &str) -> String {
    let columns = screen.size().1.get();
    let rows: Vec<_> = (0..screen.size().0.get()).map(|row| pieces(screen, row)).collect();
    let used = rows.iter().rposition(|row| !row.is_empty()).map_or(0, |last| last + 1);
    let (width, height) = (f64::from(columns) * WIDTH + 2.0 * MARGIN, used as f64 * HEIGHT + 2.0 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" role=\"img\">\n\
         <title>{title}</title>\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#282828\"/>\n\
         <g font-family=\"ui-monospace, SFMono-Regular, Menlo, 'DejaVu Sans Mono', monospace\" font-size=\"14\" xml:space=\"preserve\">\n"
    );
    for (number, row) in rows.iter().take(used).enumerate() {
        let y = MARGIN + (number as f64 + 0.75) * HEIGHT;
        for (column, look, text) in row.iter().filter(|(_, _, text)| !text.trim().is_empty()) {
            // Not every browser keeps spaces at a text's beginning.
            let spaces = text.len() - text.trim_start().len();
            let x = MARGIN + (f64::from(*column) + spaces as f64) * WIDTH;
            let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" {look}>{}</text>", text.trim());
        }
    }
    out + "</g>\n</svg>\n"
}

#[test]
fn a_screen_is_drawn_with_its_colours() {
    let size = |number| std::num::NonZero::new(number).unwrap();
    let mut parser = vt100::Parser::new(size(4), size(20), 0);
    parser.process(b"a <b>\r\n\x1b[1;32mok\x1b[0m and \x1b[38;5;196mred\x1b[0m");
    let drawn = svg(parser.screen(), "a picture");
    assert!(
        drawn.contains(">a &lt;b></text>") && drawn.contains("fill=\"#a9b665\" font-weight=\"bold\">ok<"),
        "{drawn}"
    );
    assert!(
        drawn.contains("fill=\"#ff0000\">red<")
            && drawn.contains("height=\"100%\"")
            && drawn.contains("0 0 196 64"),
        "{drawn}"
    );
}
