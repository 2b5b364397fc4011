pub fn render(v: &serde_json::Value, w: &serde_json::Value) -> String {
    format!("{v} {w}")
}
