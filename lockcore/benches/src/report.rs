//! Measures rows in turns and prints them as one table.

use std::iter;

use comfy_table::{CellAlignment, Table, presets::UTF8_BORDERS_ONLY};

use crate::rows::{Aim, Measure, Row};

/// The peer that ratios are of.
const OURS: &str = "lockcore";
/// What the second number in a cell means, and how figures come about.
const LEGEND: &str =
    "Figures are medians of rounds in which all peers took turns; (x): ours divided by it.";

/// A row's figures: each peer's median.
struct Figures {
    row: &'static Row,
    medians: Vec<(&'static str, f64)>,
}

impl Figures {
    /// Takes all rounds: A B C, A B C, ...
    fn take(row: &'static Row) -> Self {
        let mut measures = (row.measures)();
        let rounds = measures.iter().map(|measure| measure.rounds).max().unwrap_or(0);
        let mut samples = vec![Vec::new(); measures.len()];
        for _ in 0..rounds {
            for (Measure { figure, .. }, samples) in iter::zip(&mut measures, &mut samples) {
                samples.push(figure());
            }
        }
        let peers = measures.iter().map(|measure| measure.peer);
        Self { row, medians: iter::zip(peers, samples.into_iter().map(median)).collect() }
    }

    fn of(&self, peer: &str) -> Option<f64> {
        Some(self.medians.iter().find(|(name, _)| *name == peer)?.1)
    }

    /// Returns our figure in terms of the aim, and the aim.
    fn achieved(&self) -> Option<(f64, f64)> {
        let ours = self.of(OURS)?;
        match self.row.aim {
            Aim::Ratio(ratio, base) => Some((ours / self.of(base)?, ratio)),
            Aim::Figure(figure) => Some((ours, figure)),
        }
    }

    fn cell(&self, peer: &str) -> String {
        match (self.of(peer), self.of(OURS)) {
            (Some(figure), _) if peer == OURS => format!("{figure:.1}"),
            (Some(figure), Some(ours)) => format!("{figure:.1} ({:.2})", ours / figure),
            (None, _) | (_, None) => "-".to_owned(),
        }
    }

    fn aim(&self) -> String {
        match self.row.aim {
            Aim::Ratio(ratio, base) => format!("{ratio:.2} of\n{base}"),
            Aim::Figure(figure) => format!("{figure}"),
        }
    }

    fn verdict(&self) -> String {
        let Some((achieved, aim)) = self.achieved() else { return String::new() };
        let verdict = if achieved <= aim { "reached" } else { "MISSED" };
        format!("{verdict}: {achieved:.2}")
    }
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// Measures the rows and prints them side by side, a line for each peer.
pub fn print(rows: impl Iterator<Item = &'static Row>) {
    let figures: Vec<_> = rows.map(Figures::take).collect();
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    let titles = figures.iter().map(|figures| figures.row.title.to_owned());
    table.set_header(iter::once(String::new()).chain(titles));
    for peer in peers(&figures) {
        add_line(&mut table, peer, &figures, |figures| figures.cell(peer));
    }
    add_line(&mut table, "aim, at most", &figures, Figures::aim);
    add_line(&mut table, "", &figures, Figures::verdict);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}\n{LEGEND}");
}

fn add_line(table: &mut Table, name: &str, figures: &[Figures], cell: impl Fn(&Figures) -> String) {
    table.add_row(iter::once(name.to_owned()).chain(figures.iter().map(cell)));
}

/// Returns the names of all peers, ours first, each once.
fn peers(figures: &[Figures]) -> Vec<&'static str> {
    let mut peers = Vec::new();
    for (peer, _) in figures.iter().flat_map(|figures| &figures.medians) {
        if !peers.contains(peer) {
            peers.push(peer);
        }
    }
    peers
}
