// The settings that are not as they come
panels.add((() => {
  let table;

  // 65536 kB is 64 MB
  function words(value, unit) {
    const number = Number(value);
    if (value === null) return "(a file)";
    if (value === "") return "(empty)";
    if (unit === "ms") return units.seconds(number / 1000);
    if (unit === "s") return units.seconds(number);
    return unit === "kB" ? units.bytes(number * 1024) : value;
  }

  return {
    view: "operator",
    build() {
      table = liveTable({
        caption: "Settings that differ from their defaults", key: setting => setting.name, empty: "All settings are as they come.",
        columns: [
          { title: "Setting", isHeader: true, text: setting => setting.name },
          { title: "Value", isData: true, text: setting => words(setting.value, setting.unit) },
          { title: "Default", isData: true, text: setting => words(setting.default, setting.unit) },
          { title: "Remark", text: setting => setting.pending_restart ? "another value waits for a restart" : "" },
        ],
      });
      return operatorCard("settings", "Settings that differ from their defaults", table.element, { whole: true });
    },
    show: answer => table.show(operatorStatus(answer).settings),
  };
})());
