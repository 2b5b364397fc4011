//! What a browser says of itself, as properties: which browser on which system, what kind of device, and whether it is a robot.

pub mod bot;
pub mod browser;

/// What a browser calls itself, as it was sent: what is read out of it can be read again with a better list.
pub const USER_AGENT: &str = "User Agent";
/// The browser's family.
pub const BROWSER: &str = "Browser";
/// The operating system.
pub const SYSTEM: &str = "System";
/// Desktop, Mobile, Tablet, TV, Console or Bot.
pub const DEVICE: &str = "Device Type";

/// Bytes of a user agent that is looked at: real ones have less than half of it.
const AGENT_BYTES_MAX: usize = 512;

/// The properties of whoever sent this user agent; none if it is no browser's, and no robot's that acts as one.
pub fn properties(agent: &str) -> Vec<(&'static str, String)> {
    let agent = agent.trim();
    // Programs that send for somebody else say nothing of them.
    let browser_like = agent.starts_with("Mozilla/") || agent.starts_with("Opera/");
    if !browser_like || agent.len() > AGENT_BYTES_MAX || agent.chars().any(char::is_control) {
        return Vec::new();
    }
    let mut found = Vec::new();
    if bot::is_bot(agent) {
        found.push((DEVICE, "Bot".to_owned()));
    } else if let Some(browser) = browser::family(agent) {
        found.push((BROWSER, browser.to_owned()));
        found.push((SYSTEM, browser::system(agent).to_owned()));
        found.push((DEVICE, browser::device(agent).to_owned()));
    }
    if !found.is_empty() {
        found.push((USER_AGENT, agent.to_owned()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_browser_says_nothing() {
        for agent in [
            "",
            "curl/8.5.0",
            "python-requests/2.32",
            "Go-http-client/1.1",
            "analytics-node/3.1.0",
            "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)\0",
            "Mozilla/5.0",
        ] {
            assert_eq!(properties(agent), [], "{agent:?}");
        }
        let long = format!("Mozilla/5.0 (X11; Linux x86_64) Chrome/120 {}", "x".repeat(600));
        assert_eq!(properties(&long), []);
    }

    #[test]
    fn the_raw_text_is_kept_beside_what_is_read_of_it() {
        let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
        let expected = [(BROWSER, "Firefox"), (SYSTEM, "Linux"), (DEVICE, "Desktop"), (USER_AGENT, agent)];
        assert_eq!(properties(&format!(" {agent} ")), expected.map(|(name, value)| (name, value.to_owned())));
        let bot = "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)";
        assert_eq!(properties(bot), [(DEVICE, "Bot".to_owned()), (USER_AGENT, bot.to_owned())]);
    }
}
