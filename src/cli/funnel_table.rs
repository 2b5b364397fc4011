pub fn render(_t: &str, v: &serde_json::Value) -> String {
    v.to_string()
}
