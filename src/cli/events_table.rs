pub fn render(v: &serde_json::Value) -> String {
    v.to_string()
}
