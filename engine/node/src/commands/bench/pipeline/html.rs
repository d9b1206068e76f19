//! One page that needs nothing beside itself, and the plots as files.

use std::fmt::Write as _;
use std::path::Path;

use super::plot::escape;
use super::report::{Report, Table};

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
    table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums}\
    th,td{padding:.2rem .7rem;border-bottom:1px solid #ddd;text-align:right}\
    th:first-child,td:first-child{text-align:left}svg{max-width:100%;height:auto;margin:.5rem 0}";

/// Writes the page.
///
/// # Errors
/// The file's.
pub fn write(path: &Path, machine: &str, reports: &[Report]) -> Result<(), String> {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>millrace bench pipeline</title>\
         <style>{STYLE}</style></head><body>\n<h1>millrace bench pipeline</h1>\n<p>Measured on {}.</p>\n",
        escape(machine)
    );
    for report in reports {
        let _ = writeln!(page, "<h2>{}</h2>", escape(report.title));
        for note in &report.notes {
            let _ = writeln!(page, "<p>{}</p>", escape(note));
        }
        for table in &report.tables {
            push_table(table, &mut page);
        }
        for plot in &report.plots {
            page.push_str(&plot.svg());
        }
    }
    page.push_str("</body></html>\n");
    save(path, &page)
}

/// Writes each plot to a file of its own.
///
/// # Errors
/// The files'.
pub fn write_plots(directory: &Path, reports: &[Report]) -> Result<(), String> {
    std::fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    for plot in reports.iter().flat_map(|report| &report.plots) {
        save(&directory.join(format!("{}.svg", plot.name)), &plot.svg())?;
    }
    Ok(())
}

fn save(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn push_table(table: &Table, page: &mut String) {
    page.push_str("<table>\n");
    for (index, line) in table.lines().enumerate() {
        let tag = if index == 0 { "th" } else { "td" };
        page.push_str("<tr>");
        for cell in line {
            let _ = write!(page, "<{tag}>{}</{tag}>", escape(cell));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table>\n");
}
