//! `cambist config`: the settings in force, and where each comes from.

use std::process::ExitCode;

use service_kit::settings::Loaded;

pub(super) fn run(loaded: &Loaded, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        let settings: serde_json::Map<String, serde_json::Value> = loaded
            .effective()
            .iter()
            .map(|setting| {
                let entry = serde_json::json!({"value": setting.value, "origin": setting.origin.to_string()});
                (setting.name.to_owned(), entry)
            })
            .collect();
        println!("{}", serde_json::to_string_pretty(&settings)?);
    } else {
        let width = loaded
            .effective()
            .iter()
            .map(|setting| setting.name.len())
            .max()
            .unwrap_or_default();
        for setting in loaded.effective() {
            let value = if setting.value.is_empty() { "-" } else { &setting.value };
            println!("{:width$}  {value}  ({})", setting.name, setting.origin);
        }
    }
    Ok(ExitCode::SUCCESS)
}
