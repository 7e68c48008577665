//! The whole pipeline on small registers. Every person in them is invented.

use std::path::{Path, PathBuf};

use clap::Parser as _;
use serde_json::Value;

use super::{fit, linkage, report};
use crate::ambient::Ambient;
use crate::cli::{CliError, Context, Output};
use crate::node::Directory;

const COLUMNS: &str = "record_ref,family_name,given_name,patronymic,date_of_birth,sex,\
                       place_of_birth,mother_family_name,mother_given_name,document_number";

/// Three children, the sister of one of them, and one of whom nearly nothing is known.
const A: &str = "\
A1,Головко,Софія,Олександрівна,2007-03-04,F,Каховка,Головко,Олена,І-ВА №449579
A2,Клименко,Данило,Ігорович,2015-09-19,M,Маріуполь,Клименко,Анна,
A3,Бондаренко,Марко,Тарасович,2011-11-23,M,Енергодар,Бондаренко,Ірина,
A4,Клименко,Злата,Ігорівна,2013-02-08,F,Маріуполь,Клименко,Анна,
A5,,Оля,,2014,F,,,,
";

const B: &str = "\
B1,Golovko,Sofiya,,2007-03-04,F,Kakhovka,Golovko,Yelena,
B2,Клименко,Даниил,Игоревич,2015-09-19,M,Мариуполь,Клименко,Анна,
B3,Bondarenko,Marko,,2011-11-32,M,Enerhodar,Bondarenko,Iryna,
B4,Шевчук,Андрій,Петрович,2009-06-30,M,Суми,Шевчук,Галина,
";

const TRUTH: &str = "a_ref,b_ref,tags\nA1,B1,ru_bgn;patronymic_missing\nA2,B2,ru_cyr\nA3,B3,uk_kmu;patronymic_missing\n";

/// A directory with the files of one measurement.
struct Files(tempfile::TempDir);

impl Files {
    fn new(a: &str, b: &str, truth: &str) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write("a.csv", &format!("{COLUMNS}\n{a}"));
        files.write("b.csv", &format!("{COLUMNS}\n{b}"));
        files.write("truth.csv", truth);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn line(&self, more: &[&str]) -> Vec<String> {
        let mut line = vec!["eval".to_owned()];
        for (option, name) in [("--a", "a.csv"), ("--b", "b.csv")] {
            line.push(option.to_owned());
            line.push(self.path(name).display().to_string());
        }
        // What ends in a file's name is a file of this directory.
        line.extend(more.iter().map(|word| {
            if Path::new(word).extension().is_some() {
                self.path(word).display().to_string()
            } else {
                (*word).to_owned()
            }
        }));
        line
    }

    async fn measure(&self, more: &[&str]) -> Result<Value, CliError> {
        let mut line = self.line(more);
        if !more.contains(&"--truth") {
            line.extend([
                "--truth".to_owned(),
                self.path("truth.csv").display().to_string(),
            ]);
        }
        let figures = linkage::measure(&context(), &Measure::parse_from(line).args).await?;
        Ok(report::object(&figures, Some(1.5)))
    }

    async fn refusal(&self, more: &[&str]) -> String {
        let error = self.measure(more).await.unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        error
            .to_string()
            .replace(&format!("{}/", self.0.path().display()), "")
    }
}

#[derive(clap::Parser)]
struct Measure {
    #[command(flatten)]
    args: linkage::Args,
}

#[derive(clap::Parser)]
struct Fit {
    #[command(flatten)]
    args: fit::Args,
}

fn context() -> Context {
    Context {
        directory: Directory::new(PathBuf::from(".")),
        given_directory: None,
        session: PathBuf::from("operator.session"),
        output: Output::new(true),
        ambient: Ambient::system(),
    }
}

#[tokio::test]
async fn altered_children_are_found_and_no_other() {
    let files = Files::new(A, B, TRUTH);
    files.write("kinds.csv", "b_ref,kind,note\nB1,match,\nB4,neg_random,\n");
    let found = files
        .measure(&[
            "--negatives",
            "kinds.csv",
            "--missed",
            "m.csv",
            "--false",
            "f.csv",
        ])
        .await
        .unwrap();
    assert_eq!(found["match_or_possible"]["recall"], 1.0);
    assert_eq!(found["match_or_possible"]["precision"], 1.0);
    assert_eq!(found["match"]["wrong"], 0);
    assert_eq!(found["one_to_one"]["precision"], 1.0);
    assert_eq!(found["best"]["f1"], 1.0);
    // 32 November cannot be read; of the girl without a family name nothing can be asked.
    assert_eq!(found["unreadable"], 1);
    assert_eq!(found["unreadable_by_register"]["b"], 1);
    assert_eq!(found["not_searchable"]["a"], 1);
    assert_eq!(found["rejected"]["a"], 0);
    assert_eq!(found["records"]["b"], 4);
    assert_eq!(found["candidate_pairs"]["all"], 20);
    assert_eq!(found["false_by_kind"][1]["kind"], "neg_random");
    assert_eq!(found["false_by_kind"][1]["at_possible"], 0);
    assert!(found.get("groups").is_none());
    // What is written for study holds references and no names.
    for (name, header) in [
        (
            "m.csv",
            "a_ref,b_ref,tags,grade,weight,rules,present_in_both\n",
        ),
        (
            "f.csv",
            "a_ref,b_ref,kind,grade,weight,rules,present_in_both\n",
        ),
    ] {
        let text = files.read(name);
        assert!(text.starts_with(header), "{text}");
        assert!(text.is_ascii() && !text.contains("olovko"), "{text}");
    }
}

#[tokio::test]
async fn the_object_for_machines_keeps_its_shape() {
    let files = Files::new(A, B, TRUTH);
    files.write("kinds.csv", "b_ref,kind\nB4,neg_random\n");
    let found = files.measure(&["--negatives", "kinds.csv"]).await.unwrap();
    let numbers = |at: &str, keys: &[&str]| {
        let object = found.pointer(at).unwrap();
        for key in keys {
            assert!(object[key].is_number(), "{at}/{key} in {found}");
        }
    };
    for at in ["/match", "/match_or_possible", "/one_to_one"] {
        numbers(at, &["precision", "recall", "f1"]);
    }
    numbers("/best", &["threshold", "precision", "recall", "f1"]);
    numbers("/tokens_per_record", &["mean", "max"]);
    numbers("", &["seconds", "peak_rss_mib", "unreadable"]);
    numbers(
        "/by_tag/0",
        &["pairs", "recall_match", "recall_match_or_possible"],
    );
    numbers("/false_by_kind/0", &["asked", "at_match", "at_possible"]);
    let tags: Vec<&str> = found["by_tag"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["tag"].as_str().unwrap())
        .collect();
    assert_eq!(tags, ["patronymic_missing", "ru_bgn", "ru_cyr", "uk_kmu"]);
    assert_eq!(found["by_tag"][0]["pairs"], 2);
}

#[tokio::test]
async fn what_a_register_lacks_is_not_used() {
    let files = Files::new(A, B, TRUTH);
    files.write("all.toml", "");
    files.write(
        "few.toml",
        "lacks = [\"patronymic\", \"place_of_birth\", \"mother_family_name\", \
         \"mother_given_name\", \"document_number\", \"sex\"]",
    );
    let all = files.measure(&["--map", "all.toml"]).await.unwrap();
    let few = files.measure(&["--map", "few.toml"]).await.unwrap();
    let only_b = files.measure(&["--map-b", "few.toml"]).await.unwrap();
    let mean = |found: &Value| found["tokens_per_record"]["mean"].as_f64().unwrap();
    assert!(mean(&few) < mean(&only_b) && mean(&only_b) < mean(&all));
}

#[tokio::test]
async fn a_family_is_found_by_its_childrens_dates() {
    let columns = format!("{COLUMNS},family_ref");
    let files = Files::new("", "", TRUTH);
    files.write(
        "a.csv",
        &format!(
            "{columns}\n\
             A1,Головко,Софія,,2007-03-04,F,Каховка,Головко,Олена,,F1\n\
             A2,Головко,Іван,,2009-10-17,M,Каховка,Головко,Олена,,F1\n\
             A3,Головко,Тарас,,2012-06-21,M,Каховка,Головко,Олена,,F1\n\
             A4,Сорока,Ніна,,2008-05-05,F,Суми,Сорока,Ольга,,F2\n\
             A5,Сорока,Лев,,2011-12-12,M,Суми,Сорока,Ольга,,F2\n"
        ),
    );
    // All names and the place replaced; the dates stayed.
    files.write(
        "b.csv",
        &format!(
            "{columns}\n\
             B1,Зимина,Вера,,2007-03-04,F,Тула,Зимина,Нина,,G1\n\
             B2,Зимин,Егор,,2009-10-17,M,Тула,Зимина,Нина,,G1\n\
             B3,Зимин,Артур,,2012-06-21,M,Тула,Зимина,Нина,,G1\n\
             B4,Орлова,Инна,,2010-01-15,F,Пермь,Орлова,Раиса,,G2\n\
             B5,Орлов,Глеб,,2013-08-27,M,Пермь,Орлова,Раиса,,G2\n"
        ),
    );
    files.write("truth.csv", "a_ref,b_ref\nA1,B1\nA2,B2\nA3,B3\n");
    files.write("groups.csv", "a_family_ref,b_family_ref\nF1,G1\n");
    let found = files
        .measure(&["--groups-truth", "groups.csv", "--false", "f.csv"])
        .await
        .unwrap();
    let groups = &found["groups"];
    assert_eq!((&groups["asked"], &groups["held"]), (&2.into(), &1.into()));
    assert_eq!(groups["found_by_siblings"], 1);
    assert_eq!(groups["wrong"], 0);
    assert_eq!(groups["by_size"][0]["size"], 3);
    assert_eq!(found["match"]["right"], 0);
    assert_eq!(found["match_or_possible"]["right"], 3);
    // Without the file, the true pairs say which families are the same.
    let joined = files.measure(&[]).await.unwrap();
    assert_eq!(joined["groups"], *groups);
}

#[tokio::test]
async fn wrong_files_are_named_with_their_line() {
    let files = Files::new(A, B, TRUTH);
    for (truth, message) in [
        (
            "a_ref,tags\nA1,x\n",
            "t.csv: line 1: no column `b_ref`: the file needs the columns a_ref, b_ref",
        ),
        (
            "a_ref,b_ref\nA1,B1\n\nA2,B9\n",
            "t.csv: line 4: the register has no record for this `b_ref`: correct it, or give the \
             register that the file belongs to",
        ),
        (
            "a_ref,b_ref\nA1,B1\nA1,B1\n",
            "t.csv: line 3: the pair stands on line 2 already: remove one",
        ),
        (
            "a_ref,b_ref\nA1\n",
            "t.csv: line 2: the row has 1 fields and the header has 2",
        ),
        (
            "a_ref,b_ref\n",
            "t.csv: line 1: no pair follows the header: there is nothing to find",
        ),
    ] {
        files.write("t.csv", truth);
        assert_eq!(files.refusal(&["--truth", "t.csv"]).await, message);
    }
    assert!(
        files
            .refusal(&["--truth", "none.csv"])
            .await
            .starts_with("none.csv: ")
    );
    files.write("kinds.csv", "b_ref,kind\nB77,match\n");
    let said = files.refusal(&["--negatives", "kinds.csv"]).await;
    assert!(
        said.starts_with("kinds.csv: line 2: the register has no record"),
        "{said}"
    );
    files.write("groups.csv", "a_family_ref,b_family_ref\nF1,G1\n");
    let said = files.refusal(&["--groups-truth", "groups.csv"]).await;
    assert!(said.starts_with("groups.csv: line 2: "), "{said}");
    files.write("m.toml", "lacks = [\"colour\"]");
    let said = files.refusal(&["--map", "m.toml"]).await;
    assert!(said.contains("no column is called `colour`"), "{said}");
    files.write("r.toml", "version = 1\nrule = 5\n");
    assert!(
        files
            .refusal(&["--rules", "r.toml"])
            .await
            .starts_with("r.toml: ")
    );
    files.write("b.csv", "record_ref,famly_name\nB1,x\n");
    let said = files.refusal(&[]).await;
    assert!(said.contains("did you mean `family_name`?"), "{said}");
    files.write("b.csv", "record_ref,family_name\n");
    let said = files.refusal(&[]).await;
    assert!(said.starts_with("b.csv: no row could be read"), "{said}");
}

#[tokio::test]
async fn a_rejected_row_is_left_out_and_its_pair_is_missed() {
    let twice = B.replace("B2,", "B1,");
    let files = Files::new(A, &twice, TRUTH);
    let found = files.measure(&["--missed", "m.csv"]).await.unwrap();
    assert_eq!(found["rejected"]["b"], 1);
    assert_eq!(found["match"]["truth"], 3);
    assert!(files.read("m.csv").contains("A2,B2,ru_cyr,UNSEEN,,,\n"));
}

#[test]
fn weights_are_learned_with_and_without_truth() {
    let files = Files::new(A, B, TRUTH);
    let run = |more: &[&str]| {
        let args = Fit::parse_from(files.line(more)).args;
        fit::learn(&context(), &args).ok().unwrap()
    };
    for learned in [run(&["--truth", "truth.csv"]), run(&[])] {
        let tables: toml::Table = learned.text.parse().unwrap();
        let states = tables["model"]["states"].as_table().unwrap();
        for comparison in ["family", "given", "date", "place", "sex_if_given"] {
            let sums = states[comparison]
                .as_table()
                .unwrap()
                .values()
                .map(|rates| {
                    let rates = rates.as_array().unwrap();
                    [rates[0].as_float().unwrap(), rates[1].as_float().unwrap()]
                })
                .fold([0.0, 0.0], |sum, [m, u]| [sum[0] + m, sum[1] + u]);
            assert!(
                sums.iter().all(|sum| (sum - 1.0).abs() < 1e-3),
                "{comparison}: {sums:?}"
            );
        }
    }
    assert_eq!(run(&["--truth", "truth.csv"]).learned_from, "3 true pairs");
}
