core.register_fetches("hi", function() return "x" end)
