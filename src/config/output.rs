//! Where reports go: `--report FORMAT[=FILE]`.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::Problem;
use crate::report::ReportFormat;

/// One report: its format, and where it goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Output {
    pub(crate) format: ReportFormat,
    /// None for standard output.
    pub(crate) file: Option<PathBuf>,
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Output, String> {
        let (name, file) = text.split_once('=').map_or((text, None), |(name, file)| (name, Some(file)));
        let format = ReportFormat::ALL.into_iter().find(|format| format.name() == name);
        let expected = || format!("expected one of {}", ReportFormat::ALL.map(ReportFormat::name).join(", "));
        match file {
            Some("") => Err(format!("expected a file after {name}=")),
            file => Ok(Output { format: format.ok_or_else(expected)?, file: file.map(PathBuf::from) }),
        }
    }
}

/// Reports files that cannot be written: before a check rather than after it.
pub(crate) fn try_files(outputs: &[Output]) -> Result<(), Problem> {
    for file in outputs.iter().filter_map(|output| output.file.as_deref()) {
        let kind = std::fs::metadata(file).map(|it| it.file_type());
        // To open a pipe and to close it would be its end.
        if kind.as_ref().is_ok_and(|kind| !kind.is_file() && !kind.is_dir()) {
            continue;
        }
        let is_new = kind.is_err();
        let opened = OpenOptions::new().append(true).create(true).open(file);
        opened.map_err(|why| {
            let problem = Problem::new(why.to_string()).on(format!("failed to write {}", file.display()));
            problem.hint("choose a file in an existing, writable directory")
        })?;
        // A check that could not run leaves no empty report.
        if is_new {
            let _ = std::fs::remove_file(file);
        }
    }
    Ok(())
}

/// The names of formats.
pub(crate) fn formats() -> Vec<&'static str> {
    ReportFormat::ALL.map(ReportFormat::name).to_vec()
}

/// All of them; the one for standard output is text if none was asked for.
pub(crate) fn resolve(outputs: impl IntoIterator<Item = Output>) -> Result<Vec<Output>, Problem> {
    let mut all: Vec<Output> = outputs.into_iter().collect();
    match all.iter().filter(|output| output.file.is_none()).count() {
        0 => all.push(Output { format: ReportFormat::Text, file: None }),
        1 => {}
        _ => {
            return Err(Problem::new("two reports would go to standard output")
                .on("--report")
                .hint("write one of them to a file, such as --report json=report.json"));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_written_is_reported_and_one_that_can_be_is_left_as_it_was() {
        let folder = std::env::temp_dir().join(format!("uuid-generator-output-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let report = |name: &str| [Output { format: ReportFormat::Json, file: Some(folder.join(name)) }];
        let problem = try_files(&report("no/such/folder.json")).unwrap_err().to_string();
        assert!(problem.contains("failed to write") && problem.contains("No such file or directory"), "{problem}");
        std::fs::write(folder.join("old.json"), "{}").unwrap();
        try_files(&[report("new.json"), report("old.json")].concat()).unwrap();
        assert!(!folder.join("new.json").exists(), "nothing is left where no report was written");
        assert_eq!(std::fs::read_to_string(folder.join("old.json")).unwrap(), "{}");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_report_goes_to_a_file_or_to_standard_output_which_is_text_by_default() {
        let of = |texts: &[&str]| resolve(texts.iter().map(|text| text.parse().unwrap()));
        let text = Output { format: ReportFormat::Text, file: None };
        assert_eq!(of(&[]).unwrap(), std::slice::from_ref(&text));
        let file = Output { format: ReportFormat::Json, file: Some("a=b.json".into()) };
        assert_eq!(of(&["json=a=b.json"]).unwrap(), [file, text]);
        assert_eq!(of(&["markdown", "junit=j.xml"]).unwrap().len(), 2);
        assert!(of(&["json", "text"]).unwrap_err().to_string().contains("standard output"));
        assert!("pdf".parse::<Output>().unwrap_err().contains("text, json, markdown, html, junit, github"));
        assert!("json=".parse::<Output>().unwrap_err().contains("a file after json="));
    }
}
